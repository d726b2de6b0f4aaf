"""What provisioning left behind, found by looking at the whole database."""

from __future__ import annotations

from typing import Any

from django.db import connection

from tenants import signup
from tenants.models import Organisation, StepStatus
from tests.factories import unique

STEPS = ["schema", "roles", "trial", "lease", "registration", "active"]


def proved(**fields: Any) -> Organisation:
    """An organisation whose mailbox was just proved: it is to be provisioned."""
    name = unique("prov")
    organisation = signup.request_organisation(
        email=f"{name}@example.test", org_name="Provisioned Ltd", host_label=name
    )
    signup.prove_mailbox(organisation)
    organisation.refresh_from_db()
    return organisation


def schemas() -> set[str]:
    """All tenant schemas that exist."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'org\\_%'")
        return {row[0] for row in cursor.fetchall()}


def orphans() -> set[str]:
    """Schemas that belong to no organisation that may have one."""
    owned = Organisation.objects.exclude(state__in=["requested", "failed", "expired", "deleted"])
    return schemas() - set(owned.values_list("schema_name", flat=True))


def rows_about(organisation: Organisation) -> dict[str, int]:
    """{table: rows that mention it}, in every table of `public` but the trail and itself."""
    needles = f"{organisation.pk}|{organisation.schema_name}|{organisation.instance_host}"
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'r' AND relname NOT IN ('audit_event', 'tenants_organisation')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ~ %s', [needles])
            if count := cursor.fetchone()[0]:
                found[table] = count
    return found


def assert_complete(organisation: Organisation) -> None:
    """Active, every step ran once, and everything that they make is there once."""
    organisation.refresh_from_db()
    assert organisation.state == "active", (organisation.state, organisation.failure)
    assert [s.step for s in organisation.steps.order_by("position")] == STEPS
    assert {s.status for s in organisation.steps.all()} == {StepStatus.DONE}
    assert organisation.schema_name in schemas()
    assert organisation.leases.count() == 1
    assert organisation.billing.subscription_state == "trial"
    assert organisation.registration.instance_id.startswith("relay_")
    from rbac.models import Assignment
    from tenants.schemas import in_schema

    with in_schema(organisation):
        assert Assignment.objects.count() == 1


def assert_undone(organisation: Organisation, before: dict[str, int]) -> None:
    """Failed with a reason, and nothing but the request itself is left."""
    organisation.refresh_from_db()
    assert organisation.state == "failed"
    assert organisation.failure
    assert organisation.schema_name not in schemas()
    left = rows_about(organisation)
    for table in ("tenants_steprecord", "procrastinate_jobs"):  # its history
        left.pop(table, None)
    before = {k: v for k, v in before.items() if k != "procrastinate_jobs"}
    assert left == before
    assert organisation.schema_name not in orphans()
