"""Organisations whose deletion was asked for, and time that passes for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from audit.actors import Actor
from tenants import lifecycle
from tenants.deletion import notices, outcomes, reaper
from tenants.models import Organisation, OutboxMail, Removal, State, SuspendedBy
from tests.factories import make_organisation

ACTOR = Actor.system("test")


def asked(*, days: int = 30, by: SuspendedBy = SuspendedBy.OWNER, **fields: Any) -> Organisation:
    """A customer's organisation whose owner has just asked for its deletion."""
    organisation = make_organisation(**fields)
    lifecycle.soft_delete(organisation=organisation, by=by, actor=ACTOR, retention_days=days)
    organisation.refresh_from_db()
    return organisation


def pass_time(organisation: Organisation, **span: float) -> None:
    """Everything that happened to it happened earlier by `span` (of timedelta)."""
    by = timedelta(**span)
    removal = Removal.objects.get(organisation=organisation)
    with transaction.atomic():
        for notice in removal.notices:
            at = parse_datetime(notice["at"])
            assert at is not None
            notice["at"] = (at - by).isoformat()
            for mail in OutboxMail.objects.filter(pk=notice["mail"]):
                mail.created_at -= by
                mail.sent_at = mail.sent_at and mail.sent_at - by
                mail.save()
        removal.requested_at -= by
        removal.due_at -= by
        removal.next_try_at = removal.next_try_at and removal.next_try_at - by
        removal.save()
        organisation.refresh_from_db()
        assert organisation.deletion_requested_at is not None
        Organisation.objects.filter(pk=organisation.pk).update(
            deletion_requested_at=organisation.deletion_requested_at - by
        )
    organisation.refresh_from_db()


def overdue(*, days: int = 30, **fields: Any) -> Organisation:
    """One whose retention has passed with all its notices, a minute ago."""
    organisation = asked(days=days, **fields)
    if days >= 9:
        pass_time(organisation, days=days - 7)
        notices.send_due()
        pass_time(organisation, days=6)
    if days >= 2:
        pass_time(organisation, **({"minutes": 0} if days >= 9 else {"days": days - 1}))
        notices.send_due()
    pass_time(organisation, days=1, minutes=1)
    return organisation


def reap(organisation: Organisation) -> outcomes.Reaped:
    return reaper.reap(organisation=organisation, actor=ACTOR, reason="test")


def due_at(organisation: Organisation) -> datetime:
    return Removal.objects.get(organisation=organisation).due_at


def kinds(organisation: Organisation) -> list[str]:
    """Of the notices that were posted, in order."""
    return [each["kind"] for each in Removal.objects.get(organisation=organisation).notices]


def state_of(organisation: Organisation) -> str:
    organisation.refresh_from_db()
    return State(organisation.state)
