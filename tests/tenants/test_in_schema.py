"""`in_schema` runs a block in one organisation's schema, and in nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction
from django_tenants.postgresql_backend import base

from rbac.models import Change, Role
from tenants import schemas
from tenants.models import Organisation
from tenants.schemas import in_schema
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


def current() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


def note(text: str) -> None:
    Change.objects.create(action="note", entity_type="test", entity_id=text, actor="test")


def notes() -> list[str]:
    return list(Change.objects.filter(action="note").values_list("entity_id", flat=True))


def drop(organisation: Organisation) -> None:
    """What nothing of ours does to a living organisation."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')


def test_works() -> None:
    mine, other = make_organisation(), make_organisation()
    with in_schema(mine):
        note("mine")
        assert current() == mine.schema_name
    assert current() == "public"
    with in_schema(other):
        assert notes() == []
    with in_schema(mine):
        assert notes() == ["mine"]
        # The platform's tables stay in reach.
        assert Organisation.objects.filter(pk=mine.pk).exists()


def test_goes_back_after_an_error_of_the_block() -> None:
    organisation = make_organisation()
    with pytest.raises(ZeroDivisionError), in_schema(organisation):
        _ = 1 / 0
    assert current() == "public"


def test_goes_back_after_an_error_of_the_database() -> None:
    organisation = make_organisation()
    with pytest.raises(IntegrityError), transaction.atomic(), in_schema(organisation):
        Role.objects.create(id="not a role id", name="x")
    assert current() == "public"


def test_goes_back_when_the_block_rolls_back_what_switched() -> None:
    """A SET is transactional: rolling back the savepoint undoes it on the server."""
    organisation = make_organisation()
    with in_schema(organisation):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            note("gone")
            _ = 1 / 0
        assert current() == organisation.schema_name
        assert notes() == []
    assert current() == "public"


def test_entering_the_same_schema_again_is_allowed() -> None:
    organisation = make_organisation()
    with in_schema(organisation):
        with in_schema(organisation):
            note("inner")
        assert current() == organisation.schema_name
        assert notes() == ["inner"]
    assert current() == "public"


def test_entering_another_schema_inside_is_refused() -> None:
    mine, other = make_organisation(), make_organisation()
    with in_schema(mine):
        with pytest.raises(schemas.SchemaError, match="another organisation"), in_schema(other):
            pytest.fail("entered")
        assert current() == mine.schema_name


@pytest.mark.covers("F06")
def test_a_schema_that_is_gone_is_an_error_and_not_public() -> None:
    organisation = make_organisation()
    drop(organisation)
    with pytest.raises(schemas.SchemaMissing), in_schema(organisation):
        pytest.fail("entered")
    assert current() == "public"


@pytest.mark.covers("F06")
def test_a_schema_dropped_under_the_block_answers_nothing_from_public() -> None:
    organisation = make_organisation()
    with in_schema(organisation):
        drop(organisation)
        with pytest.raises(ProgrammingError, match="does not exist"), transaction.atomic():
            list(Role.objects.all())


@pytest.mark.covers("F08")
@pytest.mark.parametrize(
    "name",
    [
        "public",
        "pg_catalog",
        'org_"; DROP SCHEMA public; --',
        "org_" + "A" * 32,
        "org_" + "0" * 31,
        "org_" + "0" * 33,
        "org_" + "0" * 32 + "\n",
        " org_" + "0" * 32,
        "",
    ],
)
def test_only_names_of_our_form_are_used(name: str) -> None:
    organisation = make_organisation()
    organisation.schema_name = name
    with pytest.raises(schemas.SchemaError), in_schema(organisation):
        pytest.fail("entered")
    for use in (schemas.create_schema, schemas.drop_schema, schemas.schema_exists):
        with pytest.raises(schemas.SchemaError):
            use(name)
    # The database itself refuses it too, whoever writes it.
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
        Organisation.objects.filter(pk=organisation.pk).update(schema_name=name)


def test_takes_organisations_only() -> None:
    with pytest.raises(TypeError), in_schema("org_" + "0" * 32):  # type: ignore[arg-type]
        pytest.fail("entered")


def test_notices_a_search_path_that_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of django-tenants adds schemas to every search path."""
    organisation, other = make_organisation(), make_organisation()
    monkeypatch.setattr(base, "EXTRA_SEARCH_PATHS", [other.schema_name])
    with pytest.raises(schemas.SchemaError, match="search path"), in_schema(organisation):
        pytest.fail("entered")


@pytest.mark.covers("F03")
async def test_refuses_to_run_in_an_event_loop() -> None:
    organisation = Organisation(schema_name=schemas.new_schema_name())
    with pytest.raises(SynchronousOnlyOperation), in_schema(organisation):
        pytest.fail("entered")


@pytest.mark.covers("F03", "F04")
@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_entering_cannot_be_handed_to_a_thread(thread_sensitive: bool) -> None:
    """Else one coroutine would switch a connection that the next one's query runs on."""
    manager = in_schema(Organisation(schema_name=schemas.new_schema_name()))
    with pytest.raises(SynchronousOnlyOperation):
        await sync_to_async(manager.__enter__, thread_sensitive=thread_sensitive)()
    manager = in_schema(Organisation(schema_name=schemas.new_schema_name()))
    with pytest.raises(SynchronousOnlyOperation):
        await asyncio.to_thread(manager.__enter__)
    manager = in_schema(Organisation(schema_name=schemas.new_schema_name()))
    with ThreadPoolExecutor(1) as pool, pytest.raises(SynchronousOnlyOperation):
        await asyncio.get_running_loop().run_in_executor(pool, manager.__enter__)
