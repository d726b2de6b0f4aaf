"""A schema made from the template is the one that migrations make."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, connections

from rbac.models import Change
from tenants import schema_template, schemas
from tenants.models import SchemaTemplate
from tenants.schemas import in_schema
from tenants.upgrades import versions
from tests.factories import make_organisation
from tests.tenants.catalog import describe


@pytest.mark.django_db
def test_equals_what_migrations_make() -> None:
    made, migrated = schemas.new_schema_name(), schemas.new_schema_name()
    schemas.create_schema(made)
    schemas.migrate_schema(migrated)
    left, right = describe(made), describe(migrated)
    assert set(left) == set(right)
    for subject in left:
        assert left[subject] == right[subject], subject
    for subject in ("relations", "columns", "constraints", "indexes", "sequences", "migrations"):
        assert left[subject], f"nothing was compared: {subject}"


@pytest.mark.django_db
def test_equals_what_django_tenants_makes() -> None:
    """`migrate_schemas` notes the shared apps' migrations too, although it makes no table of them."""
    made, migrated = schemas.new_schema_name(), schemas.new_schema_name()
    schemas.create_schema(made)
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE SCHEMA "{migrated}"')
    call_command(
        "migrate_schemas", schema_name=migrated, tenant=True, verbosity=0, stdout=StringIO()
    )
    left, right = describe(made), describe(migrated)
    for description in (left, right):
        description["migrations"] = [row for row in description["migrations"] if row[0] == "rbac"]
        description["sequences"] = [
            row for row in description["sequences"] if row[0] != "django_migrations_id_seq"
        ]
    for subject in left:
        assert left[subject] == right[subject], subject


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX {}.rbac_change_at_ad86bd62",
        "ALTER TABLE {}.rbac_role ALTER COLUMN priority SET DEFAULT 3",
        "ALTER TABLE {}.rbac_role DROP CONSTRAINT role_id",
        "ALTER TABLE {}.rbac_role ALTER COLUMN name TYPE text",
        "ALTER SEQUENCE {}.rbac_change_id_seq CACHE 5",
        "DELETE FROM {}.django_migrations",
        "SELECT nextval('{}.django_migrations_id_seq')",
    ],
)
def test_the_comparison_notices(change: str) -> None:
    made, changed = schemas.new_schema_name(), schemas.new_schema_name()
    schemas.create_schema(made)
    schemas.create_schema(changed)
    assert describe(made) == describe(changed)
    with connection.cursor() as cursor:
        cursor.execute(change.format(changed))
    assert describe(made) != describe(changed)


@pytest.mark.django_db
def test_a_made_schema_can_be_migrated_on() -> None:
    name = make_organisation().schema_name
    assert name not in versions.behind(look=True)
    before = describe(name)
    schemas.migrate_schema(name)
    assert describe(name) == before
    with connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{name}".django_migrations')
    assert name in versions.behind(look=True)
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{name}".django_migrations')
    assert name in versions.behind(look=True)


@pytest.mark.django_db
def test_the_sql_names_no_schema_but_its_own_and_sets_nothing() -> None:
    sql = SchemaTemplate.objects.get(migrations_hash=schema_template.migrations_hash()).sql
    assert "org_" not in sql
    assert "\\" not in sql
    assert not [line for line in sql.splitlines() if line.upper().startswith("SET ")]
    assert "search_path" not in sql


@pytest.mark.django_db
def test_a_dump_with_unknown_settings_is_stripped() -> None:
    """pg_dump 18 writes settings that older servers refuse, and psql's \\restrict lines."""
    name = "org_" + "ab" * 16
    dump = (
        "\\restrict x\nSET transaction_timeout = 0;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n-- a comment\n\n"
        f"CREATE SCHEMA {name};\nINSERT INTO {name}.django_migrations VALUES (1);\n\\unrestrict x\n"
    )
    assert schema_template.normalise(dump, name) == (
        "CREATE SCHEMA {schema};\nINSERT INTO {schema}.django_migrations VALUES (1);\n"
    )
    with pytest.raises(schema_template.TemplateError, match="lacks"):
        schema_template.normalise("SELECT 1;", name)


@pytest.mark.django_db
def test_without_a_template_it_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    SchemaTemplate.objects.all().delete()
    monkeypatch.setattr(schema_template, "_cached", {})
    with pytest.raises(schema_template.TemplateMissing, match=r"manage\.py prepare_schemas"):
        schemas.create_schema(schemas.new_schema_name())


@pytest.mark.django_db
def test_is_not_made_inside_a_transaction() -> None:
    with pytest.raises(schema_template.TemplateError, match="transaction"):
        schema_template.prepare()


def test_is_made_once_however_many_start(live_db: None) -> None:
    SchemaTemplate.objects.all().delete()
    before = ours()
    start = threading.Barrier(3, timeout=60)

    def job() -> bool:
        try:
            start.wait()
            return schema_template.prepare()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        made = [future.result(timeout=60) for future in [pool.submit(job) for _ in range(3)]]
    assert sorted(made) == [False, False, True]
    # The schema that it was dumped from is gone again.
    assert ours() == before


def test_a_killed_attempt_is_cleaned_up_by_the_next(live_db: None) -> None:
    left, before = schemas.new_schema_name(), ours()
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE SCHEMA "{left}"')
        cursor.execute(f"COMMENT ON SCHEMA \"{left}\" IS '{schema_template._DRAFT}'")
    SchemaTemplate.objects.all().delete()
    assert schema_template.prepare()
    assert ours() == before


def ours() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'org\_%'")
        return {name for (name,) in cursor.fetchall()}


def test_setup_migrates_schemas_that_are_behind(live_db: None) -> None:
    organisation = make_organisation()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{organisation.schema_name}".rbac_change')
        cursor.execute(f'DELETE FROM "{organisation.schema_name}".django_migrations')
        for table in ("apitoken", "assignment", "groupmapping", "permission", "role"):
            cursor.execute(f'DROP TABLE "{organisation.schema_name}".rbac_{table} CASCADE')
    said = StringIO()
    call_command("prepare_schemas", stdout=said)
    assert said.getvalue() == "1 schema migrated; the template was there already.\n"
    with in_schema(organisation):
        assert Change.objects.count() == 0
