"""What must be true of a database once the dust has settled. Each finding is one sentence."""

from __future__ import annotations

from django.db import connection
from django.db.models import Count

from audit.models import Event
from billing.models import BillingState, Lease
from rbac.models import Assignment, Role
from relay.models import Registration, RelayStatus
from relay.server.models import BlockedInstance
from relay.server.models import Session as RelaySession
from tenants import provisioning, schemas
from tenants.models import (
    Domain,
    Invitation,
    Membership,
    Organisation,
    State,
    StepRecord,
    StepStatus,
    User,
)
from tenants.residue import residue


def findings() -> list[str]:
    """Everything that is not as a whole sign-up or no sign-up leaves it."""
    found = [*_schemas(), *_people(), *_invitations(), *_strays(), *jobs()]
    for organisation in Organisation.objects.order_by("label"):
        found += [f"{organisation.label}: {what}" for what in of_organisation(organisation)]
    return found


def of_organisation(organisation: Organisation) -> list[str]:
    """Complete when active, nothing but its record when failed or deleted; else unsettled."""
    if organisation.state == State.ACTIVE:
        return _incomplete(organisation)
    if organisation.state == State.FAILED:
        return _left_over(organisation)
    if organisation.state == State.DELETED:
        return residue(organisation.pk)
    return [f"is still {organisation.state}"]


def unconnected() -> list[str]:
    """Labels of active organisations that the runtime does not report as connected."""
    connected = RelayStatus.objects.filter(connected=True).values_list("organisation", flat=True)
    return list(
        Organisation.objects.filter(state=State.ACTIVE)
        .exclude(pk__in=connected)
        .values_list("label", flat=True)
    )


def _incomplete(organisation: Organisation) -> list[str]:
    wanted = [step.name for step in provisioning.steps()]
    done = list(
        StepRecord.objects.filter(organisation=organisation, status=StepStatus.DONE)
        .order_by("position")
        .values_list("step", flat=True)
    )
    found = [] if done == wanted else [f"its steps are {done}"]
    found += _not_one("billing states", BillingState.objects.filter(organisation=organisation))
    found += _not_one("leases", Lease.objects.filter(organisation=organisation), most=99)
    found += _not_one("registrations", Registration.objects.filter(organisation=organisation))
    found += _not_one("domains", Domain.objects.filter(tenant=organisation))
    found += _not_one("members", Membership.objects.filter(organisation=organisation, role="owner"))
    for action in ("org_requested", "org_mailbox_proved", "org_activated"):
        found += _not_one(
            f"{action} events",
            Event.objects.filter(action=action, organisation=organisation.pk),
        )
    if not schemas.schema_exists(organisation.schema_name):
        return [*found, "its schema is missing"]
    with schemas.in_schema(organisation):
        if Role.objects.count() != 4 or Assignment.objects.count() != 1:
            found.append("its roles are not the four, one of them assigned")
    return found


def _left_over(organisation: Organisation) -> list[str]:
    tables = (BillingState, Lease, Registration, RelayStatus)
    found = [
        f"failed, and left a {table._meta.verbose_name}"
        for table in tables
        if table.objects.filter(organisation=organisation).exists()
    ]
    if schemas.schema_exists(organisation.schema_name):
        found.append("failed, and left its schema")
    return found if organisation.failure else [*found, "failed, and nobody knows why"]


def _schemas() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'org\\_%'")
        there = {row[0] for row in cursor.fetchall()}
    wanted = set(
        Organisation.objects.filter(state=State.ACTIVE).values_list("schema_name", flat=True)
    )
    return [f"orphan schema {name}" for name in there - wanted]


def _people() -> list[str]:
    owners = User.objects.annotate(n=Count("memberships")).exclude(n=1)
    return [f"{user.email} is a member of {user.n} organisations" for user in owners]


def _invitations() -> list[str]:
    found = []
    for invitation in Invitation.objects.exclude(organisations__state=State.DELETED):
        count = Organisation.objects.filter(invitation=invitation).count()
        if count != invitation.used:
            found.append(f"{invitation.email}: {invitation.used} seats used, {count} sign-ups")
    return found


def _strays() -> list[str]:
    """Rows of the relay, which has no foreign keys, that belong to no registration."""
    known = list(Registration.objects.values_list("instance_id", flat=True))
    found = [
        f"a relay session of {session.instance_id}, which is not registered"
        for session in RelaySession.objects.exclude(instance_id__in=known)
    ]
    deleted = Organisation.objects.filter(state=State.DELETED).values_list("pk", flat=True)
    if BlockedInstance.objects.exclude(organisation__in=list(deleted)).exists():
        found.append("a blocked instance that is not deleted")
    return found


def jobs() -> list[str]:
    """Provisioning that is queued, under way or broken."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT task_name, status, count(*) FROM procrastinate_jobs"
            " WHERE task_name = 'tenants.tasks.provision' AND status <> 'succeeded'"
            " GROUP BY 1, 2"
        )
        return [f"{count} jobs {name} are {status}" for name, status, count in cursor.fetchall()]


def _not_one(what: str, rows: object, most: int = 1) -> list[str]:
    count = rows.count()  # type: ignore[attr-defined]
    return [] if 1 <= count <= most else [f"has {count} {what}"]
