"""The states of an organisation and what may follow what (design section 3).

    requested         -> provisioning, expired
    provisioning      -> active, failed
    failed            -> provisioning, purging
    active            -> suspended, pending_deletion
    suspended         -> active, pending_deletion
    pending_deletion  -> active, suspended, purging
    purging           -> deleted

A canary, and only a canary, may go to purging from anywhere: it needs no retention. Everybody
else's organisation is purged from failed, where there is nothing to keep, or from pending_deletion
once its retention is over (`require_purgeable`). What was suspended when its deletion was asked for
is suspended again when it is restored (design section 3; the contract's way back, suspend and then
unsuspend, is not offered: it left deletion dates on active organisations, H5).

Every state change passes `move`. That a state has the fields that it needs, and no others, is
also checked by the database: see the constraints of `Organisation`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from tenants.models import Organisation, Removal, State

TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    State.REQUESTED: frozenset({State.PROVISIONING, State.EXPIRED}),
    State.EXPIRED: frozenset(),
    State.PROVISIONING: frozenset({State.ACTIVE, State.FAILED}),
    State.FAILED: frozenset({State.PROVISIONING, State.PURGING}),
    State.ACTIVE: frozenset({State.SUSPENDED, State.PENDING_DELETION}),
    State.SUSPENDED: frozenset({State.ACTIVE, State.PENDING_DELETION}),
    State.PENDING_DELETION: frozenset({State.ACTIVE, State.SUSPENDED, State.PURGING}),
    State.PURGING: frozenset({State.DELETED}),
    State.DELETED: frozenset(),
}
# Deletion was asked for; only the first of them can be restored.
DELETING: Final = frozenset({State.PENDING_DELETION, State.PURGING, State.DELETED})
# Gone, or never came to be: nobody owns it and its host is unknown.
ENDED: Final = frozenset({State.EXPIRED, State.DELETED})


class TransitionRefused(Exception):
    """The organisation's state, or who asks, does not allow the verb. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def may_move(organisation: Organisation, to: str) -> bool:
    if organisation.canary and to == State.PURGING:
        return organisation.state not in ENDED | {State.PURGING}
    return to in TRANSITIONS[organisation.state]


def move(organisation: Organisation, to: State) -> None:
    """Sets the state of a locked organisation; the caller saves. Raises TransitionRefused."""
    if not may_move(organisation, to):
        raise TransitionRefused(
            "invalid_transition",
            f"An organisation that is {organisation.get_state_display()} cannot become {to.label}.",
        )
    organisation.state = to


def due_at(organisation: Organisation) -> datetime | None:
    """When the retention of one that is pending deletion is over; None for every other.

    The removal's date counts: it may have been put off, never brought forward.
    """
    if organisation.state != State.PENDING_DELETION:
        return None
    removal = Removal.objects.filter(organisation=organisation).first()
    if removal is not None:
        return removal.due_at
    if organisation.deletion_requested_at is None or organisation.retention_days is None:
        return None
    return organisation.deletion_requested_at + timedelta(days=organisation.retention_days)


def require_purgeable(organisation: Organisation, *, now: datetime) -> None:
    """Raises TransitionRefused unless a locked organisation may be purged now: `already_deleted`,
    and `retention_required` for a customer's whose retention is not over (equality counts as over,
    hosted-contract section 6)."""
    if organisation.state in ENDED:
        raise TransitionRefused("already_deleted", "There is nothing to purge.")
    if organisation.canary or organisation.state in (State.FAILED, State.PURGING):
        return
    due = due_at(organisation)
    if due is None or now < due:
        raise TransitionRefused(
            "retention_required",
            "Only canaries are purged before their retention is over."
            if due is None
            else f"It is kept until {due:%Y-%m-%d %H:%M} UTC.",
        )


def locked(organisation: Organisation) -> Organisation:
    """The organisation as it is now, locked until the transaction ends."""
    return Organisation.objects.select_for_update().get(pk=organisation.pk)
