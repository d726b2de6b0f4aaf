"""What people decide about an organisation: suspend, unsuspend, purge.

Each verb locks the row, checks the transition (`tenants.states`), changes it, runs the effects of
every room (`settings.LIFECYCLE_EFFECTS`) and writes the audit row, all in one transaction; metric
and log line follow the commit.
"""

from __future__ import annotations

import structlog
from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import metrics
from tenants.effects import effects
from tenants.models import Organisation, State, SuspendedBy
from tenants.purging import purge, purge_canary
from tenants.residue import residue
from tenants.states import TransitionRefused, locked, move

__all__ = ["TransitionRefused", "purge", "purge_canary", "residue", "suspend", "unsuspend"]

log = structlog.get_logger(__name__)


def suspend(
    *, organisation: Organisation, by: SuspendedBy, actor: Actor, reason: str = ""
) -> Organisation:
    """Makes an active organisation unreachable; nothing is unpaired or deleted.

    Raises TransitionRefused: `already_suspended`, `already_pending_deletion`, `org_not_ready`.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state == State.SUSPENDED:
            raise TransitionRefused("already_suspended", "The organisation is suspended already.")
        if organisation.state in (State.PENDING_DELETION, State.PURGING, State.DELETED):
            raise TransitionRefused(
                "already_pending_deletion", "The organisation is about to be deleted."
            )
        if organisation.state != State.ACTIVE:
            raise TransitionRefused("org_not_ready", "The organisation is not set up.")
        move(organisation, State.SUSPENDED)
        organisation.suspended_at = timezone.now()
        organisation.suspended_by = by
        organisation.suspend_reason = reason
        organisation.save()
        for effect in effects():
            effect.suspended(organisation)
        _note(organisation, "org_suspended", State.ACTIVE, actor, reason)
    return organisation


def unsuspend(
    *, organisation: Organisation, by: SuspendedBy, actor: Actor, reason: str = ""
) -> Organisation:
    """Lifts a suspension. Only the same kind of actor may, or the platform (H6).

    Raises TransitionRefused: `not_suspended`, `suspended_by_other`.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state != State.SUSPENDED:
            raise TransitionRefused("not_suspended", "The organisation is not suspended.")
        if by not in (SuspendedBy.PLATFORM, organisation.suspended_by):
            raise TransitionRefused(
                "suspended_by_other",
                f"Suspended by {organisation.get_suspended_by_display()}; it is not yours to lift.",
            )
        move(organisation, State.ACTIVE)
        organisation.suspended_at = None
        organisation.suspended_by = ""
        organisation.suspend_reason = ""
        organisation.save()
        for effect in effects():
            effect.lifted(organisation)
        _note(organisation, "org_unsuspended", State.SUSPENDED, actor, reason)
    return organisation


def _note(organisation: Organisation, action: str, before: str, actor: Actor, reason: str) -> None:
    """Audit row now, metric and log line (hosted-contract section 5.6) once it is committed."""
    trail.record(
        action=action,
        actor=actor,
        organisation=organisation.pk,
        subject=organisation.label,
        reason=reason,
        before={"state": before},
        after={"state": organisation.state, "suspended_by": organisation.suspended_by},
    )
    after = organisation.state

    def committed() -> None:
        metrics.transitioned(before, after)
        log.info(
            "organisation life cycle",
            org_id=str(organisation.pk),
            old_status=before,
            new_status=after,
            reason=reason,
            actor=actor.label or actor.kind,
        )

    transaction.on_commit(committed)
