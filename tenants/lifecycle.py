"""What people decide about an organisation: suspend, take over, unsuspend, delete, restore, purge.

Each verb locks the row, checks the transition (`tenants.states`), changes it, runs the effects of
every room (`settings.LIFECYCLE_EFFECTS`) and writes the audit row, all in one transaction; metric
and log line follow the commit.

`by` is as whom somebody decides. `seen` is the state that they were shown when they decided; with
it, a verb that came second is refused with `changed_meanwhile` even where the table allows it: of
two people who press opposite buttons, one wins and the other is told.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import metrics
from tenants.effects import effects
from tenants.models import Organisation, Removal, State, SuspendedBy
from tenants.models.organisations import RETENTION_DAYS, RETENTION_LEAST, RETENTION_MOST
from tenants.purging import purge, purge_canary
from tenants.residue import residue
from tenants.states import DELETING, TransitionRefused, due_at, locked, move

__all__ = [
    "TransitionRefused",
    "purge",
    "purge_canary",
    "residue",
    "restore",
    "soft_delete",
    "suspend",
    "take_over",
    "unsuspend",
]

log = structlog.get_logger(__name__)


@metrics.timed("suspend")
def suspend(
    *,
    organisation: Organisation,
    by: SuspendedBy,
    actor: Actor,
    reason: str = "",
    seen: str = "",
) -> Organisation:
    """Makes an active organisation unreachable; nothing is unpaired or deleted.

    Raises TransitionRefused: `already_suspended`, `already_pending_deletion`, `org_not_ready`,
    `changed_meanwhile`.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state == State.SUSPENDED:
            raise TransitionRefused("already_suspended", "The organisation is suspended already.")
        if organisation.state in DELETING:
            raise TransitionRefused(
                "already_pending_deletion", "The organisation is about to be deleted."
            )
        if organisation.state != State.ACTIVE:
            raise TransitionRefused("org_not_ready", "The organisation is not set up.")
        _as_seen(organisation, seen)
        move(organisation, State.SUSPENDED)
        organisation.suspended_at = timezone.now()
        organisation.suspended_by = by
        organisation.suspend_reason = reason
        organisation.save()
        for effect in effects():
            effect.suspended(organisation)
        _note(organisation, "org_suspended", State.ACTIVE, actor, reason)
    return organisation


@metrics.timed("unsuspend")
def unsuspend(
    *,
    organisation: Organisation,
    by: SuspendedBy,
    actor: Actor,
    reason: str = "",
    seen: str = "",
) -> Organisation:
    """Lifts a suspension. Only the same kind of actor may, or the platform (H6).

    Raises TransitionRefused: `not_suspended`, `suspended_by_other`, `changed_meanwhile`.
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
        _as_seen(organisation, seen)
        move(organisation, State.ACTIVE)
        organisation.suspended_at = None
        organisation.suspended_by = ""
        organisation.suspend_reason = ""
        organisation.save()
        for effect in effects():
            effect.lifted(organisation)
        _note(organisation, "org_unsuspended", State.SUSPENDED, actor, reason)
    return organisation


def take_over(
    *,
    organisation: Organisation,
    by: SuspendedBy,
    actor: Actor,
    reason: str = "",
    seen: str = "",
) -> Organisation:
    """Makes a suspension the platform's own, so that only the platform lifts it (H6). Else whoever
    suspends themselves in time opens again what staff want shut.

    Raises TransitionRefused: `not_suspended`, `already_suspended` (by the platform itself),
    `suspended_by_other` (`by` is not the platform), `changed_meanwhile`.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        _as_seen(organisation, seen)
        if organisation.state != State.SUSPENDED:
            raise TransitionRefused("not_suspended", "The organisation is not suspended.")
        if by != SuspendedBy.PLATFORM:
            raise TransitionRefused("suspended_by_other", "Only the platform takes over.")
        if organisation.suspended_by == SuspendedBy.PLATFORM:
            raise TransitionRefused("already_suspended", "The platform has suspended it already.")
        was = {"suspended_by": organisation.suspended_by, "reason": organisation.suspend_reason}
        organisation.suspended_by = by
        organisation.suspend_reason = reason
        organisation.save(update_fields=["suspended_by", "suspend_reason", "changed_at"])
        trail.record(
            action="org_suspension_taken_over",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
            before=was,
            after={"suspended_by": organisation.suspended_by},
        )
    return organisation


@metrics.timed("soft_delete")
def soft_delete(
    *,
    organisation: Organisation,
    by: SuspendedBy,
    actor: Actor,
    reason: str = "",
    retention_days: int | None = None,
    seen: str = "",
) -> Organisation:
    """Schedules the deletion of an active or suspended organisation, and shuts it until then.

    Nothing is unpaired or removed while the retention lasts (days, default 30); a suspension stays
    what it was. The removal's row is there before the effects run, so that they may read its date.

    Raises TransitionRefused: `invalid_retention_days`, `already_pending_deletion`, `org_not_ready`,
    `changed_meanwhile`; the first before it looks at the state (hosted-contract section 5.4).
    """
    days = RETENTION_DAYS if retention_days is None else retention_days
    if not RETENTION_LEAST <= days <= RETENTION_MOST:
        raise TransitionRefused(
            "invalid_retention_days",
            f"Retention is {RETENTION_LEAST} to {RETENTION_MOST} days.",
        )
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state in DELETING:
            raise TransitionRefused(
                "already_pending_deletion", "The organisation is about to be deleted already."
            )
        if organisation.state not in (State.ACTIVE, State.SUSPENDED):
            raise TransitionRefused("org_not_ready", "The organisation is not set up.")
        _as_seen(organisation, seen)
        before, now = State(organisation.state), timezone.now()
        move(organisation, State.PENDING_DELETION)
        organisation.state_before_deletion = before
        organisation.deletion_requested_at = now
        organisation.retention_days = days
        organisation.save()
        Removal.objects.create(
            organisation=organisation,
            requested_at=now,
            requested_by=by,
            due_at=now + timedelta(days=days),
        )
        for effect in effects():
            effect.pending_deletion(organisation)
        _note(organisation, "org_soft_deleted", before, actor, reason or "soft_delete")
    return organisation


@metrics.timed("restore")
def restore(
    *,
    organisation: Organisation,
    by: SuspendedBy,
    actor: Actor,
    reason: str = "",
    seen: str = "",
) -> Organisation:
    """Cancels a deletion inside its retention: the organisation is again what it was, active or
    suspended, and nothing of the deletion stays on it (H5). Phones and tokens work as before.

    As with suspensions, only the same kind of actor may, or the platform (H6).

    Raises TransitionRefused: `not_pending_deletion`, `retention_over`, `deletion_by_other`,
    `changed_meanwhile`.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state == State.PURGING:
            raise TransitionRefused("retention_over", "The organisation is being deleted.")
        if organisation.state != State.PENDING_DELETION:
            raise TransitionRefused(
                "not_pending_deletion", "No deletion of this organisation is planned."
            )
        due = due_at(organisation)
        # The reaper takes what is due, so from then on nobody can have it back (F65).
        if due is None or timezone.now() >= due:
            raise TransitionRefused("retention_over", "Its retention is over; it is being deleted.")
        removal = Removal.objects.filter(organisation=organisation).first()
        if removal is not None and by not in (SuspendedBy.PLATFORM, removal.requested_by):
            raise TransitionRefused(
                "deletion_by_other",
                f"Its deletion was asked for by {removal.requested_by}; it is not yours to cancel.",
            )
        _as_seen(organisation, seen)
        move(organisation, State(organisation.state_before_deletion))
        organisation.state_before_deletion = ""
        organisation.deletion_requested_at = None
        organisation.retention_days = None
        organisation.save()
        Removal.objects.filter(organisation=organisation).delete()
        for effect in effects():
            effect.restored(organisation)
        _note(organisation, "org_restored", State.PENDING_DELETION, actor, reason)
    return organisation


def _as_seen(organisation: Organisation, seen: str) -> None:
    """Raises TransitionRefused `changed_meanwhile` when somebody else was faster."""
    if seen and organisation.state != seen:
        raise TransitionRefused(
            "changed_meanwhile",
            f"Somebody else was faster: it is {organisation.get_state_display().lower()} now. "
            "Look at it again before you decide.",
        )


def _note(organisation: Organisation, action: str, before: str, actor: Actor, reason: str) -> None:
    """Audit row now, metric and log line (hosted-contract section 5.6) once it is committed."""
    trail.record(
        action=action,
        actor=actor,
        organisation=organisation.pk,
        subject=organisation.label,
        reason=reason,
        before={"state": before},
        after={
            "state": organisation.state,
            "suspended_by": organisation.suspended_by,
            "retention_days": organisation.retention_days,
        },
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
