"""Ten thousand customers to list: rows of the public tables, without schemas."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit.models import Event
from billing import plans
from billing.models import BillingState, Lease
from relay.models import Registration, RelayStatus
from tenants import schemas
from tenants.models import (
    Domain,
    Invitation,
    MemberRole,
    Membership,
    Organisation,
    OutboxMail,
    State,
    SuspendedBy,
    User,
)

# Of every twenty: seventeen active, one suspended, one failed, one former.
_STATES = [*[State.ACTIVE] * 17, State.SUSPENDED, State.FAILED, State.EXPIRED]
AT_ONCE = 2000


@transaction.atomic
def make(count: int, *, prefix: str = "crowd", beside: bool = True) -> None:
    """That many organisations with billing, registration and connection, and what stands `beside`
    them: an owner, a lease and two events each, and as many invitations and mails. `prefix` tells
    two crowds of one database apart."""
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(count, first + AT_ONCE))
        organisations = _organisations(prefix, numbers)
        if beside:
            _beside(prefix, numbers, organisations)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # of the figures, read before
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ANALYZE")  # as autovacuum would, soon after


def _organisations(prefix: str, numbers: range) -> list[Organisation]:
    now = timezone.now()
    organisations = [_organisation(prefix, n) for n in numbers]
    Organisation.objects.bulk_create(organisations)
    live = _live(organisations)
    Domain.objects.bulk_create(
        Domain(domain=each.instance_host, tenant=each)
        for each in organisations
        if each.state != State.EXPIRED
    )
    BillingState.objects.bulk_create(
        BillingState(
            organisation=each,
            plan_version=plans.TRIAL_PLAN,
            capabilities=["relay", "mobile_app"],
            trial_started_at=now,
            trial_ends_at=now + timedelta(days=n % 20 - 3),
        )
        for n, each in enumerate(live)
    )
    Registration.objects.bulk_create(_registration(each) for each in live)
    RelayStatus.objects.bulk_create(
        RelayStatus(organisation=each, connected=True, connected_at=now, seen_at=now)
        for each in live
    )
    return organisations


def _beside(prefix: str, numbers: range, organisations: list[Organisation]) -> None:
    now = timezone.now()
    people = [User(email=f"{prefix}-{n}@example.test", password="!") for n in numbers]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(
        Membership(organisation=each, user=person, role=MemberRole.OWNER)
        for each, person in zip(organisations, people, strict=True)
    )
    Lease.objects.bulk_create(_leases(_live(organisations)))
    Event.objects.bulk_create(_events(organisations))
    Invitation.objects.bulk_create(
        Invitation(
            token_hash=_hex(f"invitation {prefix} {n}"),
            email=f"guest-{prefix}-{n}@example.test",
            expires_at=now + timedelta(days=n % 30),
        )
        for n in numbers
    )
    OutboxMail.objects.bulk_create(
        OutboxMail(recipient=f"{prefix}-{n}@example.test", subject="Welcome", sent_at=now)
        for n in numbers
    )


def _live(organisations: list[Organisation]) -> list[Organisation]:
    return [each for each in organisations if each.state in (State.ACTIVE, State.SUSPENDED)]


def _organisation(prefix: str, number: int) -> Organisation:
    now, label = timezone.now(), f"{prefix}-{number}"
    state = _STATES[number % len(_STATES)]
    fields: dict[str, Any] = {}
    if state == State.SUSPENDED:
        fields = {"suspended_at": now, "suspended_by": SuspendedBy.PLATFORM}
    if state in (State.ACTIVE, State.SUSPENDED):
        fields["provisioned_at"] = now
    return Organisation(
        display_name=f"Customer {number}",
        label=label,
        schema_name=schemas.new_schema_name(),
        instance_host=f"{label}.{settings.BASE_DOMAIN}",
        owner_email=f"{label}@example.test",
        state=state,
        created_at=now - timedelta(minutes=number),
        **fields,
    )


def _registration(organisation: Organisation) -> Registration:
    return Registration(
        organisation=organisation,
        instance_id=f"relay_{_hex('hosted:' + organisation.instance_host)[:16]}",
        identity_public_key="A" * 44,
        identity_fingerprint="aa:" * 31 + "aa",
        sealed_identity_key=b"sealed",
    )


def _leases(organisations: list[Organisation]) -> Iterator[Lease]:
    now = timezone.now()
    for organisation in organisations:
        yield Lease(
            organisation=organisation,
            kid="crowd",
            issued_for="runtime",
            issued_at=now,
            expires_at=now + timedelta(hours=24),
        )


def _events(organisations: list[Organisation]) -> Iterator[Event]:
    for organisation in organisations:
        for action in ("org_requested", "org_activated"):
            yield Event(
                uuid=uuid.uuid4(),
                action=action,
                actor_kind="system",
                actor_label="crowd",
                organisation=organisation.pk,
                subject=organisation.label,
            )


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
