"""Which deletions are planned, when, and what can still be done about their date."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants.deletion import notices
from tenants.models import Organisation, Removal, State
from tenants.states import TransitionRefused, locked, require_purgeable

MOST_PUT_OFF: Final = 365  # days at a time


def due(now: datetime | None = None) -> QuerySet[Removal]:
    """Deletions that are to go on now: retention over or cut off, and not waiting for another try."""
    now = now or timezone.now()
    return (
        Removal.objects.filter(
            Q(organisation__state=State.PURGING)
            | Q(organisation__state=State.PENDING_DELETION, due_at__lte=now)
        )
        .filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
        .select_related("organisation")
        .order_by("due_at")
    )


def removal_of(organisation: Organisation) -> Removal:
    """Its removal; made here for what is purged without a request."""
    now = timezone.now()
    removal, _ = Removal.objects.get_or_create(
        organisation=organisation,
        defaults={
            "requested_at": organisation.deletion_requested_at or now,
            "requested_by": "platform",
            "due_at": now,
        },
    )
    return removal


def require_told(organisation: Organisation, removal: Removal) -> None:
    """Raises TransitionRefused: the retention is not over, or the owner was not told in time."""
    now = timezone.now()
    require_purgeable(organisation, now=now)
    if organisation.state != State.PENDING_DELETION or organisation.canary:
        return
    earliest = notices.may_go_at(removal, now)
    if now < earliest:
        raise TransitionRefused(
            "notice_outstanding",
            f"Its owner was not told in time: not before {earliest:%Y-%m-%d %H:%M} UTC.",
        )


def hurry(*, removal: Removal, actor: Actor, reason: str = "") -> None:
    """Ends the pause after a failure: the next sweep takes it up. Raises TransitionRefused
    `not_waiting`."""
    with transaction.atomic():
        organisation = locked(removal.organisation)
        taken = Removal.objects.filter(pk=removal.pk, next_try_at__isnull=False)
        if not taken.update(next_try_at=None):
            raise TransitionRefused("not_waiting", "It does not wait for another try.")
        trail.record(
            action="org_reaping_hurried",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
        )


def put_off(
    *,
    organisation: Organisation,
    days: int,
    actor: Actor,
    reason: str = "",
    seen: datetime | None = None,
) -> Removal:
    """Gives a deletion that has not begun `days` more, counted from its date or from now, whichever
    is later; it can be restored as long. `seen` is the date that whoever decides was shown: pressed
    twice it is put off once.

    Raises TransitionRefused: `not_pending_deletion`, `retention_over` (it has begun),
    `invalid_retention_days` (1 to MOST_PUT_OFF), `changed_meanwhile`.
    """
    if not 1 <= days <= MOST_PUT_OFF:
        raise TransitionRefused(
            "invalid_retention_days", f"Put it off by 1 to {MOST_PUT_OFF} days."
        )
    with transaction.atomic():
        current = locked(organisation)
        if current.state in (State.PURGING, State.DELETED):
            raise TransitionRefused("retention_over", "It is being deleted already.")
        removal = Removal.objects.select_for_update().filter(organisation=current).first()
        if removal is None or current.state != State.PENDING_DELETION:
            raise TransitionRefused("not_pending_deletion", "No deletion of it is planned.")
        before = removal.due_at
        if seen is not None and seen != before:
            raise TransitionRefused(
                "changed_meanwhile",
                f"Somebody else was faster: it is due on {before:%Y-%m-%d at %H:%M} UTC now.",
            )
        removal.due_at = max(before, timezone.now()) + timedelta(days=days)
        removal.save(update_fields=["due_at"])
        trail.record(
            action="org_deletion_put_off",
            actor=actor,
            organisation=current.pk,
            subject=current.label,
            reason=reason,
            before={"due_at": before},
            after={"due_at": removal.due_at},
        )
    removal.organisation = current
    return removal
