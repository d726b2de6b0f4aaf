"""What happens to an account goes into the trail, and ends the sessions that it must end.

Receivers of allauth's signals: its views do the work, this module adds what is ours. Loaded by
`tenants.apps`.
"""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account_signals
from allauth.account.internal.flows.login import (
    get_authentication_records,
    record_authentication,
)
from allauth.core import context
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from audit import trail
from audit.actors import Actor
from tenants import limits
from tenants.accounts import lockout, recent, sessions
from tenants.models import User


def note(
    request: HttpRequest,
    action: str,
    user: User,
    *,
    success: bool = True,
    reason: str = "",
    after: dict[str, Any] | None = None,
) -> None:
    """One row about a person's own account, by that person."""
    trail.record(
        action=action,
        actor=Actor.person(user),
        subject=str(user),
        success=success,
        reason=reason,
        after=after,
        path=request.path,
        address=limits.address_of(request) or None,
    )


@receiver(account_signals.user_logged_in)
def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    methods = [record["method"] for record in get_authentication_records(request, user)]
    note(request, "signed_in", user, after={"by": methods})


@receiver(account_signals.authentication_step_completed)
def _confirmed(request: HttpRequest, reauthenticated: bool = False, **_: Any) -> None:
    if reauthenticated:
        recent.note(request)


@receiver([account_signals.password_changed, account_signals.password_set])
def _password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    """Every other session of theirs ends, on all hosts and in all browsers."""
    mine = sessions.reference(request.session.session_key)
    ended = sessions.end_others(user.pk, but=[mine])
    note(request, "password_changed", user, after={"sessions_ended": ended})


@receiver(account_signals.password_reset)
def _password_reset(request: HttpRequest, user: User, **_: Any) -> None:
    """Whoever set the new password signs in with it; everybody else is out."""
    ended = sessions.end(users=[user.pk])
    lockout.succeeded(request, str(user.email))
    note(request, "password_reset_completed", user, after={"sessions_ended": ended})


@receiver(post_save, sender=Authenticator)
def _factor_added(instance: Authenticator, created: bool, **_: Any) -> None:
    """In the transaction that adds it; allauth's own signal comes after the commit."""
    request = context.request
    if not created or request is None or not isinstance(request.user, User):
        return
    totp = instance.type == Authenticator.Type.TOTP
    if totp:  # took a code, so from here on this session is one that gave it
        record_authentication(request, request.user, "mfa", id=instance.pk, type=instance.type)
    note(request, "two_factor_enabled" if totp else "recovery_codes_made", request.user)


@receiver(mfa_signals.authenticator_removed)
def _factor_removed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_: Any
) -> None:
    if authenticator.type == Authenticator.Type.TOTP:
        note(request, "two_factor_disabled", user)


@receiver(mfa_signals.authenticator_used)
def _factor_used(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        left = len(authenticator.wrap().get_unused_codes())
        note(request, "recovery_code_used", user, after={"left": left})


@receiver(mfa_signals.authentication_failed)
def _code_refused(request: HttpRequest, user: User, reauthentication: bool, **_: Any) -> None:
    action = "confirm_failed" if reauthentication else "sign_in_failed"
    note(request, action, user, success=False, reason="wrong code")
