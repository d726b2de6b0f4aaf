"""Takes an organisation away at once that needs no retention: a canary, or one that never came to be.

The work is `tenants.deletion.reaper`'s; this only begins it and waits for it. Killed in between, the
worker's sweep goes on with the rest.
"""

from __future__ import annotations

import time
from typing import Final

from audit.actors import Actor
from tenants import invitations
from tenants.deletion import claims, reaper
from tenants.models import Invitation, Organisation, State
from tenants.residue import residue
from tenants.states import TransitionRefused

# How long to wait for another process that is at it; it takes well below a second.
OTHERS_SECONDS: Final = 30.0


def purge(*, organisation: Organisation, actor: Actor, reason: str = "") -> Organisation:
    """Removes a canary, or what provisioning left, now; goes on where an earlier purge was cut off.

    Raises states.TransitionRefused: `retention_required` for a customer's organisation, and
    `already_deleted`. Raises claims.ReapFailed when something failed; the sweep tries again.
    """
    begun = reaper.begin_now(organisation, actor=actor, reason=reason)
    return _finish(begun, actor, reason)


def purge_canary(*, label: str, email: str, actor: Actor, reason: str = "") -> list[str]:
    """Removes a canary however far it came, its unused invitation included.

    Returns what is left of it, in words; an empty list means nothing.
    """
    for invitation in Invitation.objects.filter(canary=True, email__iexact=email):
        invitations.revoke(invitation=invitation, actor=actor, reason=reason)
    left: list[str] = []
    for organisation in Organisation.objects.filter(canary=True, label=label):
        if organisation.state not in (State.DELETED, State.EXPIRED):
            purge(organisation=organisation, actor=actor, reason=reason)
        left += residue(organisation.pk)
    Invitation.objects.filter(canary=True, email__iexact=email).delete()
    return left


def _finish(organisation: Organisation, actor: Actor, reason: str) -> Organisation:
    """Deletes it, or waits until another process has."""
    deadline = time.monotonic() + OTHERS_SECONDS
    while organisation.state != State.DELETED:
        try:
            reaper.reap(organisation=organisation, actor=actor, reason=reason)
        except claims.Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        except TransitionRefused as refused:
            if refused.code != "already_deleted":
                raise
        organisation.refresh_from_db()
    return organisation
