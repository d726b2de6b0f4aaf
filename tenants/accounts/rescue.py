"""What staff do about a customer's account: shut it, open it again, take a lost second factor off.

None of these lets anybody act as that person. Staff accounts are left to whoever has the command
line: one member of staff could otherwise weaken another's account and take it over by mail.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.db import transaction

from audit import trail
from audit.actors import Actor
from tenants import mail, notify
from tenants.accounts import sessions
from tenants.http.problems import Problem
from tenants.models import User


def close(*, user: User, actor: Actor, reason: str) -> None:
    """The person cannot sign in, their sessions and API tokens are refused and their phones shut
    out, until the account is opened again. Organisations and memberships stay as they are.

    Raises Problem 403 `staff_account`, 409 `already_closed`.
    """
    with transaction.atomic():
        user = _customer(user)
        if not user.is_active:
            raise Problem(409, "already_closed", "The account is closed already.")
        user.is_active = False
        user.save(update_fields=["is_active"])
        sessions.end(users=[user.pk])
        _wake(user)
        _note("account_closed", user, actor, reason)


def reopen(*, user: User, actor: Actor, reason: str) -> None:
    """Ends `close`: what was refused works again, after a new sign-in.

    Raises Problem 403 `staff_account`, 409 `not_closed`.
    """
    with transaction.atomic():
        user = _customer(user)
        if user.is_active:
            raise Problem(409, "not_closed", "The account is open.")
        user.is_active = True
        user.save(update_fields=["is_active"])
        _wake(user)
        _note("account_reopened", user, actor, reason)


def remove_second_factor(*, user: User, actor: Actor, reason: str, staff_too: bool = False) -> None:
    """For somebody who lost both phone and recovery codes. All sessions end, and the mailbox is
    told, so that it does not go unnoticed. `staff_too` is for the command line.

    Raises Problem 403 `staff_account`, 409 `no_second_factor`.
    """
    with transaction.atomic():
        user = _customer(user, staff_too=staff_too)
        removed, _ = Authenticator.objects.filter(user=user).delete()
        if not removed:
            raise Problem(409, "no_second_factor", "Two-factor sign-in is off for this account.")
        sessions.end(users=[user.pk])
        if user.email:
            mail.send_later(
                to=user.email,
                subject="Two-factor sign-in was removed from your account",
                template="second_factor_removed",
                context={},
            )
        _note("two_factor_removed", user, actor, reason)


def _customer(user: User, *, staff_too: bool = False) -> User:
    """The row, locked."""
    user = User.objects.select_for_update().get(pk=user.pk)
    if (user.is_staff or user.is_superuser) and not staff_too:
        raise Problem(403, "staff_account", "Staff accounts are looked after on the command line.")
    return user


def _wake(user: User) -> None:
    """Phones' channels are looked at now, not at the next sweep."""
    for organisation in user.memberships.values_list("organisation", flat=True):
        notify.notify(notify.RUNTIME, organisation)


def _note(action: str, user: User, actor: Actor, reason: str) -> None:
    trail.record(action=action, actor=actor, subject=str(user), reason=reason)
