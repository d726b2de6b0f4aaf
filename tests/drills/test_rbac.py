"""`manage.py drill rbac` passes on a sound system and names each broken promise (F75)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from pulsecloud.drills.rbac import RbacDrills
from pulsecloud.proof.browser import UnexpectedAnswer
from tenants.models import ReadinessKind, ReadinessRecord
from tests.drills.lying_web import Lie, lying_web
from tests.drills.running import drill, failed, one
from tests.drills.test_lifecycle import nothing_is_left
from tests.product import Product
from tests.proof.test_prove import database

pytestmark = pytest.mark.xdist_group("product")

DRILLS = ["cache_cleaned", "store_removed", "fresh_store", "unknown_is_fine", "count_follows"]


@pytest.mark.covers("F75")
def test_a_sound_system_passes(product: Product) -> None:
    code, record = drill(product, "rbac")
    assert code == 0, record["blocking"]
    assert [step["name"] for step in record["steps"]] == DRILLS
    assert {step["status"] for step in record["steps"]} == {"passed"}
    evidence = {step["name"]: step["evidence"] for step in record["steps"]}
    before, during, after = evidence["count_follows"]["pulse_rbac_managers_active"]
    assert (during, after) == (before + 1, before)
    stored = ReadinessRecord.objects.get(pk=record["id"])
    assert (stored.kind, stored.passed) == (ReadinessKind.RBAC_DRILL, True)
    assert nothing_is_left()


# (what the server says that is not so, the drill that finds out, what it says of it)
LIES = [
    (
        Lie("GET", "^/api/organisation$", status=200, body="{}", after="POST .*/purge$"),
        "cache_cleaned",
        "the owner of a deleted organisation got 16 times 200",
    ),
    (
        Lie("GET", "^/api/organisation$", status=503, after="POST .*/purge$"),
        "cache_cleaned",
        "the owner of a deleted organisation got 16 times 503",
    ),
    (
        Lie("GET", "/rbac/integrity$", fields={"healthy": False}),
        "store_removed",
        "'healthy': False",
    ),
    (
        Lie("GET", "^/api/admin/roles$", body='[{"id": "drill-0"}]', after="POST .*/purge$"),
        "fresh_store",
        "roles of the second is",
    ),
    (
        Lie("POST", "/purge$", status=200, only=404),
        "unknown_is_fine",
        "answered 200 instead of 404",
    ),
    (
        Lie("GET", "^/metrics$", body="pulse_rbac_managers_active 3.0\n"),
        "count_follows",
        "before, with and after one more organisation",
    ),
]


@pytest.mark.covers("F75")
@pytest.mark.parametrize(("lie", "name", "says"), LIES, ids=[f"{n}: {s}" for _, n, s in LIES])
def test_an_answer_that_is_not_as_promised_is_named(
    product: Product, lie: Lie, name: str, says: str
) -> None:
    with lying_web(product, lie) as address, pytest.raises(UnexpectedAnswer, match=says):
        one(product, RbacDrills, name, web=address)
    assert nothing_is_left()


def test_every_drill_bites() -> None:
    assert {name for _, name, _ in LIES} == set(DRILLS)


@contextmanager
def on_schemas(
    connection: psycopg.Connection, *, event: str, tag: str, body: str
) -> Iterator[None]:
    """Runs `body` in the product's database whenever a schema is made or dropped."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION public.sabotage_event() RETURNS event_trigger"
        f" LANGUAGE plpgsql AS $$ DECLARE it record; BEGIN {body} END $$"
    )
    connection.execute(
        f"CREATE EVENT TRIGGER sabotage_event ON {event} WHEN TAG IN ('{tag}')"
        " EXECUTE FUNCTION public.sabotage_event()"
    )
    try:
        yield
    finally:
        connection.execute("DROP EVENT TRIGGER sabotage_event")
        connection.execute("DROP FUNCTION public.sabotage_event()")


def test_a_store_that_stays_is_named(product: Product) -> None:
    """The schema is dropped and there again: whoever looks at what was done sees nothing."""
    body = """
        FOR it IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
          IF it.object_type = 'schema' AND it.object_name LIKE 'org\\_%' THEN
            EXECUTE format('CREATE SCHEMA %I', it.object_name);
          END IF;
        END LOOP;
    """
    with database() as direct, on_schemas(direct, event="sql_drop", tag="DROP SCHEMA", body=body):
        code, record = drill(product, "rbac", patience=0.1)
    assert code == 1
    assert {"store_removed", "count_follows"} <= set(failed(record)), record["blocking"]
    with database() as direct:
        rows = direct.execute(
            "SELECT n.nspname FROM pg_namespace n JOIN public.tenants_organisation o"
            " ON o.schema_name = n.nspname AND o.state = 'deleted'"
        ).fetchall()
        for (name,) in rows:
            direct.execute(f'DROP SCHEMA "{name}"')
    assert rows
