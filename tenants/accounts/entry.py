"""People's accounts: how they come to be, sign in, and get mail (design section 6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from tenants import addresses, limits, links, locks, mailboxes
from tenants.accounts import recent
from tenants.models import LinkPurpose, MemberRole, Organisation, User
from tenants.states import ENDED

# hosted-contract section 4.1
LINK_MINUTES: Final = 15
_LONGEST_PATH: Final = 300  # as Link.target
# What the tokens of links begin with that an operator prints at the machine, in development only.
PRINTED: Final = "printed_"
_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class SignInRefused(Exception):
    """This person may not sign in by a link: the account is closed, or opens the staff pages."""


def find(email: str) -> User | None:
    """Whose mailbox this is. Exact: a database folds more letters into one than mail does."""
    wanted = mailboxes.key(email)
    return User.objects.filter(email=wanted).first() if wanted else None


def lock_mailbox(email: str) -> None:
    """Sign-ups and proofs of one mailbox go one after the other, until the transaction ends."""
    locks.wait(f"mailbox:{email.lower()}")


def find_or_create_proved(email: str) -> User:
    """The person of a mailbox that was just proved, in the caller's transaction.

    A new person has no password: they sign in by links until they set one. Raises ValidationError
    for an address that is not ASCII.
    """
    lock_mailbox(email)
    user = find(email)
    now = timezone.now()
    if user is None:
        return User.objects.create_user(email, email_verified_at=now)
    if user.email_verified_at is None:
        # That one column: what changed meanwhile, such as a closed account, stays.
        User.objects.filter(pk=user.pk).update(email_verified_at=now)
        user.refresh_from_db()
    return user


def owned_by(user: User) -> Organisation | None:
    """The newest organisation that this person owns, ended ones left out."""
    return (
        Organisation.objects.filter(memberships__user=user, memberships__role=MemberRole.OWNER)
        .exclude(state__in=ENDED)
        .order_by("-memberships__added_at")
        .first()
    )


def made_by_sign_up(user: User) -> bool:
    """Nobody but a sign-up ever touched this account: no staff rights, no password of its own."""
    return not (user.is_staff or user.is_superuser or user.has_usable_password())


def sign_in_link(
    user: User, *, target: str = "/", minutes: int = LINK_MINUTES, printed: bool = False
) -> str:
    """The address of a single-use link that signs this person in on the base domain.

    One that is mailed is refused to staff when it is used; one that is `printed` is not.
    """
    token = links.mint(
        purpose=LinkPurpose.SIGN_IN,
        user=user,
        target=target,
        life=timedelta(minutes=minutes),
        prefix=PRINTED if printed else "",
    )
    return addresses.on_base(f"/sign-in/{token}")


def mail_allowed(email: str) -> bool:
    """Counts one mail with a link to this mailbox (contract section 8.2); False when over.

    Call it outside a transaction.
    """
    return limits.allow(
        "link-mail", email.lower(), limit=settings.SIGNUPS_PER_MAIL_PER_HOUR, seconds=3600
    )


def sign_in(
    request: HttpRequest, user: User, *, next: str = "/", printed: bool = False
) -> HttpResponse:
    """Signs in on the base domain whoever proved to hold this person's mailbox.

    Returns the redirect (303) that goes on: to `next`, a path of this host; or to the page that
    asks for the second factor of a person who has one, and to `next` after it. Whoever was signed
    in as somebody else is signed out. Raises SignInRefused for a closed account, and for staff: a
    mailbox alone must not open the staff pages, whoever they were when the link was mailed. A link
    `printed` at the machine is another matter.
    """
    if not user.is_active or (user.is_staff and not printed):
        raise SignInRefused
    target = local_path(next)
    if request.user.is_authenticated and request.user.pk == user.pk:
        # Signed in already. The mailbox alone refreshes nothing for a person with two factors.
        if not has_second_factor(user):
            recent.note(request)
        return HttpResponseRedirect(target, status=303)
    if request.user.is_authenticated:
        logout(request)
    record_authentication(request, user, method="mail_link")
    answer: HttpResponse = perform_login(request, Login(user=user, redirect_url=target))
    if answer.status_code == 302:
        answer.status_code = 303
    return answer


def start_session(request: HttpRequest, user: User) -> None:
    """A session on this request's host for a person whose session elsewhere vouches for them.

    Asks for nothing more. Raises SignInRefused for a closed account.
    """
    if not user.is_active:
        raise SignInRefused
    login(request, user, backend=_BACKEND)


def has_second_factor(user: User) -> bool:
    """Whether signing in takes a code as well."""
    return bool(is_mfa_enabled(user, [Authenticator.Type.TOTP]))


def mailbox_suffices(user: User) -> bool:
    """Whether who holds the mailbox may set a new password. It would open the staff pages of staff
    who have no second factor; for them there is the command line."""
    return not user.is_staff or has_second_factor(user)


def local_path(target: str) -> str:
    """The target if it is a path of this host that a link can carry, else the landing page."""
    fine = (
        target.startswith("/")
        and len(target) <= _LONGEST_PATH
        and target.isprintable()
        and url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    )
    return target if fine else "/"
