"""The states of an organisation and what may follow what (design section 3).

    requested         -> provisioning, expired
    provisioning      -> active, failed
    failed            -> provisioning, purging
    active            -> suspended, pending_deletion
    suspended         -> active, pending_deletion
    pending_deletion  -> active, suspended, purging
    purging           -> deleted

A canary, and only a canary, may go to purging from anywhere: it needs no retention. Every state
change passes `move`.
"""

from __future__ import annotations

from typing import Final

from tenants.models import Organisation, State

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


def locked(organisation: Organisation) -> Organisation:
    """The organisation as it is now, locked until the transaction ends."""
    return Organisation.objects.select_for_update().get(pk=organisation.pk)
