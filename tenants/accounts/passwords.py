"""Password reset (hosted-contract section 4.5): uniform answers, single use, one hour, limited.

allauth's views with our limits per address, a uniform time for the answer, and rows in the trail.
The limit per mailbox stands in the adapter; what a reset ends stands in `tenants.accounts.events`.
"""

from __future__ import annotations

import time
from typing import Any, cast

from allauth.account.views import (
    PasswordChangeView,
    PasswordResetFromKeyView,
    PasswordResetView,
    PasswordSetView,
)
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from audit import trail
from audit.actors import Actor
from tenants import addresses, limits
from tenants.accounts import entry
from tenants.models import User
from tenants.signup_gate import settle

PER_ADDRESS, SECONDS = 10, 600


def hold(user: User) -> None:
    """Locks the row until the transaction ends. Raises PermissionDenied when the account is closed
    or its password is no longer the one that `user` was read with."""
    current = User.objects.select_for_update().get(pk=user.pk)
    if not current.is_active or current.password != user.password:
        raise PermissionDenied("The account changed meanwhile. Sign in again.")


class _Held:
    """For pages that keep their person signed in: whoever closes the account meanwhile waits, and
    then ends the session that comes of it as well."""

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            hold(form.user)
            return cast(HttpResponse, super().form_valid(form))  # type: ignore[misc]


class ChangeView(_Held, PasswordChangeView):  # type: ignore[misc]
    """/accounts/password/change/"""


class SetView(_Held, PasswordSetView):  # type: ignore[misc]
    """/accounts/password/set/, for people who have none."""


class ResetView(PasswordResetView):  # type: ignore[misc]
    """/accounts/password/reset/"""

    def form_valid(self, form: Any) -> HttpResponse:
        address = limits.address_of(self.request)
        if not limits.allow("reset-address", address, limit=PER_ADDRESS, seconds=SECONDS):
            return render(self.request, "account/too_many.html", status=429)
        try:
            addresses.base()
        except addresses.PublicUrlMissing:
            form.add_error(None, "This server has no public address yet, so it can mail no link.")
            return cast(HttpResponse, self.form_invalid(form))
        begun = time.monotonic()
        email = form.cleaned_data["email"]
        user = entry.find(email)
        trail.record(
            action="password_reset_requested",
            actor=Actor.anonymous(),
            subject=email,
            after={"account": str(user.pk) if user else None},
            path=self.request.path,
            address=address or None,
        )
        answer = cast(HttpResponse, super().form_valid(form))
        settle(begun)
        return answer


class ResetFromKeyView(PasswordResetFromKeyView):  # type: ignore[misc]
    """/accounts/password/reset/key/…, where the mail leads. A link that is no good is noted."""

    def render_to_response(self, context: dict[str, Any], **rest: Any) -> HttpResponseBase:
        if context.get("token_fail") and self._counted(self.request):
            trail.record(
                action="password_reset_failed",
                actor=Actor.anonymous(),
                subject=str(self.kwargs["uidb36"]),
                reason="the link is unknown, used or too old",
                success=False,
                path="/accounts/password/reset/key/",
                address=limits.address_of(self.request) or None,
            )
        return cast(HttpResponseBase, super().render_to_response(context, **rest))

    @staticmethod
    def _counted(request: HttpRequest) -> bool:
        """So that nobody fills the trail by guessing."""
        address = limits.address_of(request)
        return limits.allow("reset-failed-row", address, limit=PER_ADDRESS, seconds=SECONDS)
