"""What staff may do about a customer's account, and what they are told before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.actors import Actor
from pulsecloud.staff.verbs import Verb, VerbRefused
from tenants.accounts import entry, rescue
from tenants.http.problems import Problem
from tenants.models import User

_STAFF = "is staff: looked after on the command line"


def _run(act: Callable[..., None]) -> Callable[[User, Actor, str], None]:
    def run(user: User, actor: Actor, reason: str) -> None:
        try:
            act(user=user, actor=actor, reason=reason)
        except Problem as problem:
            raise VerbRefused(problem.title) from problem

    return run


def _unfit(why: Callable[[User], str]) -> Callable[[Any], str]:
    return lambda user: _STAFF if user.is_staff or user.is_superuser else why(user)


CLOSE = Verb(
    name="close_account",
    title="Close the account",
    done="Closed",
    permission="tenants.change_user",
    consequences=(
        "The person is signed out everywhere and cannot sign in.",
        "Their API tokens are refused from the next request on. Their phones are shut out and "
        "forget their pairing: they have to be paired again.",
        "Organisations that they own go on for the other members; suspend those that must not.",
        "Opening the account again undoes it.",
    ),
    unfit=_unfit(lambda user: "" if user.is_active else "is closed already"),
    run=_run(rescue.close),
    icon="person_off",
    reason_needed=True,
    dangerous=True,
)
REOPEN = Verb(
    name="reopen_account",
    title="Open the account again",
    done="Opened",
    permission="tenants.change_user",
    consequences=("The person can sign in again, and their API tokens work again.",),
    unfit=_unfit(lambda user: "is open" if user.is_active else ""),
    run=_run(rescue.reopen),
    icon="person_check",
    reason_needed=True,
)
REMOVE_SECOND_FACTOR = Verb(
    name="remove_second_factor",
    title="Remove two-factor sign-in",
    done="Removed two-factor sign-in of",
    permission="tenants.change_user",
    consequences=(
        "For somebody who lost both their phone and their recovery codes. Make sure who asks: "
        "from then on the mailbox alone opens the account.",
        "They are signed out everywhere, and their mailbox is told.",
    ),
    unfit=_unfit(lambda user: "" if entry.has_second_factor(user) else "has none"),
    run=_run(rescue.remove_second_factor),
    icon="phonelink_erase",
    reason_needed=True,
    dangerous=True,
)
VERBS = (CLOSE, REOPEN, REMOVE_SECOND_FACTOR)
