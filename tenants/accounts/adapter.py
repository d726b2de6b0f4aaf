"""allauth's pages with our rules: no sign-up there, mail through the outbox, shared limits."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from allauth.account.adapter import DefaultAccountAdapter
from django.core.mail import EmailMessage
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, limits, mail
from tenants.accounts import entry, lockout, passwords, recent
from tenants.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """What allauth asks the product."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "too_many_login_attempts": "Too many failed tries. Wait 15 minutes, or sign in by mail.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    # --- mail -----------------------------------------------------------------------------------

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """To the account's own address, never to the one that somebody typed. Whose mailbox does
        not suffice gets a mail without a link."""
        if entry.mailbox_suffices(user):
            super().send_password_reset_mail(user, str(user.email), context)
        else:
            self.send_mail("account/email/password_reset_staff", str(user.email), {})

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """The text part of allauth's mail, as far as this mailbox's hourly allowance goes.

        Over it nothing is sent and the answer stays the same, whether or not there is an account.
        """
        if entry.mail_allowed(email):
            self._post(template_prefix, email, context)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tells a person what changed in their account. Holds no link, so no allowance applies:
        nobody can use one up to keep the news away."""
        if user.email:
            news = {"timestamp": timezone.now(), "ip": self.get_client_ip(self.request)}
            self._post(template_prefix, user.email, {**news, **(context or {})})

    def _post(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        message: EmailMessage = self.render_mail(
            template_prefix, email, {"email": email, "request": self.request, **context}
        )
        mail.post(to=email, subject=str(message.subject), body=str(message.body))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """On the configured address; a Host header must not decide where a link leads."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return addresses.on_base(path.replace("UID-KEY", quote(key)))

    # --- passwords ------------------------------------------------------------------------------

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts the try. Raises ValidationError when there were too many."""
        account = _account(credentials)
        if lockout.admit(request, account):
            return
        # A row for each refused try would let anybody fill the trail.
        if limits.allow(
            "locked-row", f"{account}|{limits.address_of(request)}", limit=1, seconds=900
        ):
            self._failed(request, account, "too many tries")
        raise self.validation_error("too_many_login_attempts")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        if user is not None:
            lockout.succeeded(request, _account(credentials))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        self._failed(request, _account(credentials), "wrong password or unknown address")

    def _failed(self, request: HttpRequest, account: str, reason: str) -> None:
        confirming = isinstance(request.user, User)
        trail.record(
            action="confirm_failed" if confirming else "sign_in_failed",
            actor=Actor.person(request.user)
            if isinstance(request.user, User)
            else Actor.anonymous(),
            subject=account,
            reason=reason,
            success=False,
            path=request.path,
            address=limits.address_of(request) or None,
        )

    def reauthenticate(self, user: User, password: str) -> bool:
        """By the person's own address; allauth would look into its table of addresses."""
        found = self.authenticate(self.request, email=user.email, password=password)
        return found is not None and found.pk == user.pk

    def is_reauthentication_required(self, *, app: str, **_: Any) -> bool:
        return not recent.is_recent(self.request)

    def set_password(self, user: User, password: str) -> None:
        """That one column, under a lock: an account that was closed meanwhile stays closed, and a
        password that was changed meanwhile is not changed back. Raises PermissionDenied."""
        with transaction.atomic():
            passwords.hold(user)
            user.set_password(password)
            user.save(update_fields=["password"])

    # --- ways on --------------------------------------------------------------------------------

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Where the person can go on, instead of the same form again."""
        return "/accounts/"

    def get_client_ip(self, request: HttpRequest) -> str:
        return limits.address_of(request)


def _account(credentials: dict[str, Any]) -> str:
    return str(credentials.get("email", ""))[:254].strip().lower()
