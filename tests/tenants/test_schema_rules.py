"""The tenancy rules that every schema and every table keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.db import IntegrityError, connection, models, transaction

from audit.actors import Actor
from rbac.models import Role
from tenants import checks, lifecycle, schemas
from tenants.models import Organisation, State
from tenants.provisioning_steps import SchemaStep
from tenants.schemas import in_schema
from tests.factories import make_organisation, make_user, unique

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent


def rows(sql: str, *values: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]


def tables(schema: str) -> set[str]:
    return set(rows("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema))


def test_at_most_15_tables_and_none_of_them_in_public() -> None:
    organisation = make_organisation()
    inside, outside = tables(organisation.schema_name), tables("public")
    assert 0 < len(inside) <= checks.MOST_TABLES
    assert inside & outside == {"django_migrations"}


@pytest.mark.covers("F07")
def test_no_foreign_key_leads_out_of_a_tenant_schema() -> None:
    organisation = make_organisation()
    found = rows(
        "SELECT conname FROM pg_constraint c"
        " JOIN pg_class f ON f.oid = c.conrelid JOIN pg_class t ON t.oid = c.confrelid"
        " WHERE c.contype = 'f' AND f.relnamespace <> t.relnamespace"
        " AND %s::regnamespace IN (f.relnamespace, t.relnamespace)",
        organisation.schema_name,
    )
    assert found == []


@pytest.mark.covers("F07")
def test_making_a_schema_locks_no_public_table_against_writers() -> None:
    """A foreign key into public would take ShareRowExclusiveLock on its table until commit."""
    with transaction.atomic():
        schemas.create_schema(schemas.new_schema_name())
        locked = rows(
            "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'public'::regnamespace"
            " AND c.relkind = 'r'"
        )
    weak = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
    assert {mode for _, mode in locked} <= weak, locked


@pytest.mark.covers("F05")
def test_an_existing_schema_is_never_adopted() -> None:
    left_behind = make_organisation()
    with in_schema(left_behind):
        Role.objects.create(id="secret-of-old", name="SECRET of old organisation")
    Organisation.objects.filter(pk=left_behind.pk).update(schema_name=schemas.new_schema_name())
    newcomer = make_organisation(State.PROVISIONING)
    newcomer.schema_name = left_behind.schema_name
    newcomer.save()
    with pytest.raises(schemas.SchemaExists):
        SchemaStep().do(newcomer)


@pytest.mark.covers("F05")
def test_a_schema_name_is_never_given_to_a_second_organisation() -> None:
    tombstone = make_organisation(State.DELETED)
    with pytest.raises(IntegrityError), transaction.atomic():
        Organisation.objects.filter(pk=make_organisation(State.REQUESTED).pk).update(
            schema_name=tombstone.schema_name
        )


@pytest.mark.covers("F24")
def test_saving_and_deleting_rows_neither_makes_nor_drops_a_schema() -> None:
    organisation = make_organisation()
    organisation.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        organisation.label = "not a label"
        organisation.save()
    assert schemas.schema_exists(organisation.schema_name)
    organisation.refresh_from_db()
    organisation.delete()
    assert schemas.schema_exists(organisation.schema_name)
    name = schemas.new_schema_name()
    Organisation.objects.create(
        display_name="x", label=unique("row"), schema_name=name, instance_host=unique("row"),
        owner_email="x@example.test",
    )  # fmt: skip
    assert not schemas.schema_exists(name)


@pytest.mark.covers("F24")
@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION])
def test_the_schema_of_a_living_organisation_cannot_be_dropped(state: str) -> None:
    organisation = make_organisation(state)
    with pytest.raises(schemas.SchemaInUse):
        schemas.drop_schema(organisation.schema_name)
    with pytest.raises(schemas.SchemaInUse):
        SchemaStep().undo(organisation)
    assert schemas.schema_exists(organisation.schema_name)


def test_a_schema_goes_when_its_organisation_is_purged() -> None:
    organisation = make_organisation(canary=True)
    lifecycle.purge(organisation=organisation, actor=Actor.system("test"), reason="test")
    assert not schemas.schema_exists(organisation.schema_name)
    assert schemas.drop_schema(organisation.schema_name) is False


def test_dropping_from_inside_is_refused() -> None:
    organisation = make_organisation()
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PURGING)
    with in_schema(organisation), pytest.raises(schemas.SchemaError, match="should drop"):
        schemas.drop_schema(organisation.schema_name)


@pytest.mark.covers("F23")
def test_after_a_request_the_connection_is_in_public(client: Any) -> None:
    from django.db import connection as same

    organisation = make_organisation()
    client.force_login(make_user())
    for path in ("/api/organisation", "/", "/nothing"):
        client.get(path, HTTP_HOST=organisation.instance_host)
        assert rows("SELECT current_schema()") == ["public"]
        assert same.schema_name == "public"  # type: ignore[attr-defined]


@pytest.mark.covers("F23")
def test_work_after_the_response_is_in_public(client: Any) -> None:
    """What runs when the response is closed, or on commit, must not see the last tenant."""
    from rbac import tokens
    from tests.factories import owner_of

    organisation = make_organisation()
    _, secret = tokens.issue(
        organisation, user=owner_of(organisation), name="x", scopes=["*"],
        actor=Actor.system("test"),
    )  # fmt: skip
    answer = client.get(
        "/api/organisation", HTTP_HOST=organisation.instance_host, HTTP_X_API_TOKEN=secret
    )
    assert answer.status_code == 200
    seen: list[Any] = []
    answer._resource_closers.append(lambda: seen.extend(rows("SELECT current_schema()")))
    answer.close()
    assert seen == ["public"]


def sources() -> Iterator[tuple[str, str]]:
    for room in ("pulsecloud", "tenants", "billing", "relay", "rbac", "audit", "tests", "bench"):
        for path in (ROOT / room).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name not in ("tenants/schemas.py", "tests/tenants/test_schema_rules.py"):
                yield name, path.read_text(encoding="utf-8")


@pytest.mark.covers("F01", "F02")
def test_nobody_else_switches_schemas() -> None:
    switch = re.compile(
        r"^\s*(from|import) django_tenants|\.set_schema\b|\.set_tenant\b|set_schema_to_public"
        r"|\bSET\s+(LOCAL\s+|SESSION\s+)?search_path|set_config\(\s*'search_path",
        re.IGNORECASE | re.MULTILINE,
    )
    # They show what a foreign search path and the settings of a dump do.
    allowed = {
        f"tests/tenants/test_{name}.py" for name in ("in_schema", "schema_template", "door_queries")
    }
    found = {name for name, text in sources() if switch.search(text)} - allowed
    assert found == set()
    assert not any("TenantMainMiddleware" in name for name in settings.MIDDLEWARE)


def test_the_system_check_is_content() -> None:
    assert checks.tenancy() == []
    assert not [m for m in run_checks() if str(m.id).startswith("tenants.")]


@pytest.mark.covers("F09")
def test_a_second_database_alias_is_refused(settings: Any) -> None:
    settings.DATABASES = {**settings.DATABASES, "other": {}}
    assert [problem.id for problem in checks.tenancy()] == ["tenants.E001"]


def test_the_system_check_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    class Meta:
        app_label = "rbac"
        managed = False
        apps = type(Role._meta.apps)()  # a registry of its own

    outward = type(
        "Outward",
        (models.Model,),
        {
            "__module__": __name__,
            "Meta": Meta,
            "organisation": models.ForeignKey(Organisation, on_delete=models.CASCADE),
        },
    )
    double = type(
        "Double",
        (models.Model,),
        {
            "__module__": __name__,
            "Meta": type("Meta", (Meta,), {"db_table": "tenants_user"}),
        },
    )
    monkeypatch.setattr(checks, "tenant_models", lambda: [outward, double])
    assert {problem.id for problem in checks.tenancy()} == {"tenants.E003", "tenants.E004"}
