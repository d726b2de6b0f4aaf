"""Ways in which other systems of this kind leaked or broke, each tried against this one."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django import app as jobs

from audit.actors import Actor
from rbac.models import ApiToken, Assignment, Change, GroupMapping, Role
from tenants import lifecycle, schemas
from tenants.jobs import defer
from tenants.models import Organisation, State, User
from tenants.schemas import in_schema
from tenants.upgrades import versions
from tests.factories import (
    add_member,
    make_organisation,
    make_token,
    make_user,
    owner_of,
    sign_in,
    unique,
)
from tests.tenants.test_schema_threads import current, in_threads

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("pulsecloud", "tenants", "rbac", "billing", "relay", "audit")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.covers("F13")
def test_organisations_are_served_without_an_event_loop() -> None:
    """The only ASGI application is the relay's, and it never enters a schema."""
    served = [path for path in SOURCES if "get_asgi_application" in path.read_text("utf-8")]
    assert served == []
    relay = [path for path in SOURCES if "relay/server" in path.as_posix()]
    assert len(relay) > 10
    assert not [path for path in relay if re.search(r"in_schema|tenants", path.read_text("utf-8"))]


@pytest.mark.covers("F15")
def test_caches_carry_the_schema_in_their_keys(live_db: None) -> None:
    mine, other = make_organisation(), make_organisation()
    for alias in settings.CACHES:
        cache = caches[alias]
        with in_schema(mine):
            cache.set("who", "mine", 60)
        with in_schema(other):
            assert cache.get("who") is None, alias
        with in_schema(mine):
            assert cache.get("who") == "mine", alias
            cache.delete("who")


@pytest.mark.covers("F15")
def test_no_answer_is_cached_by_the_server() -> None:
    caching = re.compile(r"cache_page|UpdateCacheMiddleware|FetchFromCacheMiddleware")
    assert not [path for path in SOURCES if caching.search(path.read_text("utf-8"))]


@pytest.mark.covers("F17")
def test_a_job_that_fails_inside_a_schema_leaves_nothing_to_the_next(live_db: None) -> None:
    """Both run on one thread and one connection, as two jobs of a worker may."""
    organisation = make_organisation()
    seen: list[str] = []

    @jobs.task(name=unique("fails"))
    def fails() -> None:
        with in_schema(organisation):
            seen.append(current())
            raise ZeroDivisionError

    @jobs.task(name=unique("looks"))
    def looks() -> None:
        seen.append(current())

    for task in (fails, looks):
        with suppress(ZeroDivisionError):
            task()
    assert seen == [organisation.schema_name, "public"]


@pytest.mark.covers("F17")
def test_a_job_deferred_inside_a_schema_is_one_of_the_platform(live_db: None) -> None:
    organisation = make_organisation()
    with in_schema(organisation), transaction.atomic():
        assert defer("tenants.tasks.provision", organisation=str(organisation.pk))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM public.procrastinate_jobs WHERE args->>'organisation' = %s",
                [str(organisation.pk)],
            )
            assert cursor.fetchone()[0] >= 1
        transaction.set_rollback(True)


@pytest.mark.covers("F18")
def test_no_model_keeps_files() -> None:
    kept = [
        f"{model.__name__}.{field.name}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if isinstance(field, models.FileField)
    ]
    assert kept == []


@pytest.mark.covers("F19")
def test_many_organisations_made_at_once(live_db: None) -> None:
    """While people are changed as well: no deadlock, no schema missing, no connection left."""
    people = [make_user() for _ in range(4)]
    stop = threading.Event()

    def keep_changing() -> None:
        while not stop.is_set():
            for person in people:
                User.objects.filter(pk=person.pk).update(name=unique("name"))
        connections.close_all()

    changing = threading.Thread(target=keep_changing)
    changing.start()
    try:
        made = in_threads(*[lambda p=person: make_organisation(owner=p) for person in people * 2])
    finally:
        stop.set()
        changing.join(20)
    for organisation in made:
        assert isinstance(organisation, Organisation)
        assert organisation.state == State.ACTIVE
        assert schemas.schema_exists(organisation.schema_name)


@pytest.mark.covers("F20")
def test_purging_gets_the_order_right(live_db: None) -> None:
    """With a row in every tenant table, each of which something points to."""
    organisation = make_organisation(canary=True)
    member = add_member(organisation)
    make_token(organisation, user=member)
    with in_schema(organisation):
        parent = Role.objects.create(id="parent", name="Parent")
        child = Role.objects.create(id="child", name="Child", parent=parent)
        Assignment.objects.create(user=member.pk, role=child)
        GroupMapping.objects.create(provider=organisation.pk, group="staff", role=child)
        Change.objects.create(action="a", entity_type="b", entity_id="c", actor="d")
        assert ApiToken.objects.count() == 1
    purged = lifecycle.purge(organisation=organisation, actor=Actor.system("test"), reason="over")
    assert purged.state == State.DELETED
    assert not schemas.schema_exists(organisation.schema_name)
    assert lifecycle.residue(purged.pk) == []


@pytest.mark.covers("F21")
def test_names_that_differ_only_in_case_are_one(live_db: None) -> None:
    organisation = make_organisation()
    email = f"{unique('case')}@example.test"
    make_user(email)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_user(email.upper())
    with pytest.raises(IntegrityError), transaction.atomic():
        Organisation.objects.filter(pk=organisation.pk).update(label=organisation.label.upper())
    client = Client(headers={"host": organisation.instance_host.upper()})
    token = make_token(organisation)
    answer = client.get("/api/organisation", headers={"X-API-Token": token})
    assert answer.json()["label"] == organisation.label


@pytest.mark.covers("F22")
def test_a_migration_run_that_was_cut_short_is_finished_by_the_next(live_db: None) -> None:
    """The first schema is half migrated, the second not at all: behind() names both."""
    half, none = make_organisation(), make_organisation()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{half.schema_name}".rbac_groupmapping')
        cursor.execute(
            f"DELETE FROM \"{half.schema_name}\".django_migrations WHERE name LIKE '0002%%'"
        )
        cursor.execute(f'DROP SCHEMA "{none.schema_name}" CASCADE')
        cursor.execute(f'CREATE SCHEMA "{none.schema_name}"')
    assert {half.schema_name, none.schema_name} <= set(versions.behind(look=True))
    call_command("prepare_schemas", verbosity=0)
    assert not {half.schema_name, none.schema_name} & set(versions.behind(look=True))
    for organisation in (half, none):
        with in_schema(organisation):
            assert GroupMapping.objects.count() == 0
            assert Change.objects.count() >= 0


@pytest.mark.covers("F25")
@pytest.mark.django_db
def test_switching_costs_no_look_up_of_content_types() -> None:
    organisation = make_organisation()
    client = Client(headers={"host": organisation.instance_host})
    sign_in(client, owner_of(organisation), organisation)
    counts = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/api/organisation").status_code == 200
        assert not [q for q in asked.captured_queries if "django_content_type" in q["sql"]]
        counts.append(len(asked.captured_queries))
    assert counts[1] == counts[2]
