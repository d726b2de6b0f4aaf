"""Tells an organisation's owner that it will be deleted: when it is asked for, a week before, and a
day before; and when it was cancelled.

Nobody loses an organisation unwarned. The last notice must have gone out (SMTP took it) a day before
the deletion, or half the retention when that is shorter than two days. When it went out late,
because mail or the worker stood still, the deletion is put off until that is so; restoring is
possible as long. A mailbox that takes no mail any more must not keep data for ever: GIVEN_UP mails
of one kind that were given up, each after hours of attempts, count as told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit import trail
from audit.actors import Actor
from tenants import mail
from tenants.models import Organisation, OutboxMail, Removal, State
from tenants.states import locked

log = structlog.get_logger(__name__)

REQUESTED, WEEK, DAY = "requested", "week", "day"
GRACE: Final = timedelta(days=1)
SHORT: Final = 2 * GRACE  # a retention below this has no reminder, and half of it as its grace
GIVEN_UP: Final = 3
# How long before the deletion each reminder goes out. An hour more than a day, so that mail which
# takes its time does not put the deletion off.
BEFORE: Final = {WEEK: timedelta(days=7), DAY: GRACE + timedelta(hours=1)}
# A reminder is for retentions long enough that it is not the request's own notice over again.
FOR_RETENTION: Final = {WEEK: timedelta(days=9), DAY: SHORT}
# A deletion that has to be put off is so before it is due: until then it can be cancelled.
AHEAD: Final = timedelta(minutes=15)

_ACTOR = Actor.system("reaper")


def requested(organisation: Organisation) -> None:
    """The first notice, in the transaction of the request; does nothing when it was posted."""
    if organisation.state != State.PENDING_DELETION or not _is_told(organisation):
        return
    removal = Removal.objects.select_for_update().filter(organisation=organisation).first()
    if removal is not None and not _posted(removal, REQUESTED):
        _post(organisation, removal, REQUESTED)


def cancelled(organisation: Organisation) -> None:
    """In the transaction of the restore."""
    if _is_told(organisation):
        mail.send_later(
            to=organisation.owner_email,
            subject=f"{organisation.display_name} will not be deleted",
            template="deletion_cancelled",
            context={"organisation": organisation, "suspended": organisation.suspended_at},
        )


def send_due(now: datetime | None = None) -> int:
    """Posts every notice that is due, and puts off deletions whose notice was late.

    Returns how many were posted. One that cannot be looked after holds up nobody else's, nor the
    reaper, which asks for itself whether somebody was told.
    """
    now = now or timezone.now()
    horizon = now + max(BEFORE.values())
    waiting = Removal.objects.filter(
        organisation__state=State.PENDING_DELETION, due_at__lte=horizon
    ).select_related("organisation")
    posted = 0
    for removal in waiting:
        try:
            posted += _look_after(removal.organisation, now)
        except Exception:
            log.exception("deletion notice failed", organisation=removal.organisation.label)
    return posted


def told_at(removal: Removal) -> datetime | None:
    """When the owner was last told as this retention asks for; None while that is outstanding.

    Nobody to tell counts as told when it was asked for.
    """
    if not _is_told(removal.organisation):
        return removal.requested_at
    posted = _posted(removal, last_kind(removal))
    outbox = OutboxMail.objects.in_bulk([each["mail"] for each in posted])
    given_up = []
    for each in posted:
        kept = outbox.get(each["mail"])
        if kept is None or kept.sent_at:
            return kept.sent_at if kept else parse_datetime(each["at"])
        if not kept.body:  # tenants.mail gave it up
            given_up.append(kept)
    return given_up[-1].created_at if len(given_up) >= GIVEN_UP else None


def may_go_at(removal: Removal, now: datetime) -> datetime:
    """The earliest moment of the deletion by what the owner was told; never before `due_at`."""
    return max(removal.due_at, (told_at(removal) or now) + grace(removal))


def last_kind(removal: Removal) -> str:
    """The notice that must have gone out before the deletion."""
    return DAY if _retention(removal) >= FOR_RETENTION[DAY] else REQUESTED


def grace(removal: Removal) -> timedelta:
    return GRACE if _retention(removal) >= SHORT else _retention(removal) / 2


def _retention(removal: Removal) -> timedelta:
    """As it was asked for: putting off does not make it longer."""
    days = removal.organisation.retention_days
    return timedelta(days=days) if days else removal.due_at - removal.requested_at


def _look_after(organisation: Organisation, now: datetime) -> int:
    with transaction.atomic():
        organisation = locked(organisation)
        removal = Removal.objects.select_for_update().filter(organisation=organisation).first()
        if removal is None or organisation.state != State.PENDING_DELETION:
            return 0
        removal.organisation = organisation
        kind = _due(removal, now)
        posting = _is_told(organisation) and not _under_way(removal, kind)
        if posting or removal.due_at <= now + AHEAD:
            _put_off(organisation, removal, may_go_at(removal, now))
        if posting:
            _post(organisation, removal, kind)
        return int(posting)


def _due(removal: Removal, now: datetime) -> str:
    """The notice that should be out by now. Of reminders that are due together, as after a
    standstill, the last one is enough."""
    due = [
        kind
        for kind, before in BEFORE.items()
        if _retention(removal) >= FOR_RETENTION[kind] and now >= removal.due_at - before
    ]
    return due[-1] if due else REQUESTED


def _is_told(organisation: Organisation) -> bool:
    """Canaries have no mailbox behind their address."""
    return bool(organisation.owner_email) and not organisation.canary


def _put_off(organisation: Organisation, removal: Removal, until: datetime) -> None:
    if until <= removal.due_at:
        return
    before, removal.due_at = removal.due_at, until
    removal.save(update_fields=["due_at"])
    trail.record(
        action="org_deletion_put_off",
        actor=_ACTOR,
        organisation=organisation.pk,
        subject=organisation.label,
        reason="its owner has not been told in time",
        before={"due_at": before},
        after={"due_at": until},
    )


def _under_way(removal: Removal, kind: str) -> bool:
    """Whether this notice was posted and needs no other: it went out for this date (of one that was
    put off it goes out again), is being tried, or was given up as often as it ever will be."""
    posted = _posted(removal, kind)
    outbox = OutboxMail.objects.in_bulk([each["mail"] for each in posted])
    given_up = 0
    for each in posted:
        kept = outbox.get(each["mail"])
        sent = parse_datetime(each["at"]) if kept is None else kept.sent_at
        if sent is not None:
            if kind not in BEFORE or sent >= removal.due_at - BEFORE[kind]:
                return True
        elif kept is not None and kept.body:
            return True
        else:
            given_up += 1
    return given_up >= GIVEN_UP


def _posted(removal: Removal, kind: str) -> list[dict[str, str]]:
    return [each for each in removal.notices if each["kind"] == kind]


def _post(organisation: Organisation, removal: Removal, kind: str) -> None:
    due = removal.due_at
    posted = mail.send_later(
        to=organisation.owner_email,
        subject=f"{organisation.display_name} will be deleted on {due.day} {due:%B %Y}",
        template="deletion_notice",
        context={
            "organisation": organisation,
            "removal": removal,
            "first": kind == REQUESTED,
            "by_owner": removal.requested_by == "owner",
            "home": settings.PUBLIC_URL and f"{settings.PUBLIC_URL}/",
        },
    )
    at = timezone.now().isoformat(timespec="seconds")
    removal.notices = [*removal.notices, {"kind": kind, "at": at, "mail": posted.pk}]
    removal.save(update_fields=["notices"])
    trail.record(
        action="org_deletion_notice",
        actor=_ACTOR,
        organisation=organisation.pk,
        subject=organisation.label,
        after={"kind": kind, "due_at": removal.due_at},
    )
