"""Many threads and coroutines at once: each sees its own organisation only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from rbac.models import Change
from tenants import schemas
from tenants.models import Organisation
from tenants.schemas import in_schema
from tests.factories import make_organisation

ROUNDS = 15


@pytest.fixture
def pair(live_db: None) -> list[Organisation]:
    organisations = [make_organisation(), make_organisation()]
    for organisation in organisations:
        with in_schema(organisation):
            note(organisation.label)
    return organisations


def note(text: str) -> None:
    Change.objects.create(action="note", entity_type="test", entity_id=text, actor="test")


def labels() -> set[str]:
    return set(Change.objects.filter(action="note").values_list("entity_id", flat=True))


def current() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


def in_threads(*jobs: Callable[[], object]) -> list[object]:
    """Runs the jobs at once, each on a thread with a connection of its own."""

    def run(job: Callable[[], object]) -> object:
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, j) for j in jobs]]


@pytest.mark.covers("F01", "F02")
def test_two_threads_never_swap_organisations(pair: list[Organisation]) -> None:
    """The interleaving that django-tenants fails: both enter, then the first leaves first."""
    step = threading.Barrier(2, timeout=30)

    def visit(organisation: Organisation, first: bool) -> bool:
        for _ in range(ROUNDS):
            if not first:
                step.wait()
            with in_schema(organisation):
                if first:
                    step.wait()
                step.wait()  # both are inside
                if current() != organisation.schema_name or labels() != {organisation.label}:
                    return False
                step.wait()
                if first:
                    pass  # leaves while the other is inside still
                else:
                    step.wait()
            if first:
                if current() != "public":
                    return False
                step.wait()
            if current() != "public":
                return False
        return True

    assert in_threads(lambda: visit(pair[0], True), lambda: visit(pair[1], False)) == [True, True]


@pytest.mark.covers("F01")
def test_a_decorated_function_keeps_no_state_between_threads(pair: list[Organisation]) -> None:
    """`contextmanager` objects are decorators as well: each call must make its own switch."""
    inside = threading.Barrier(2, timeout=30)

    @in_schema(pair[0])
    def look() -> tuple[str, set[str]]:
        inside.wait()
        return current(), labels()

    def job() -> tuple[tuple[str, set[str]], str]:
        return look(), current()

    expected = ((pair[0].schema_name, {pair[0].label}), "public")
    for _ in range(ROUNDS):
        assert in_threads(job, job) == [expected, expected]


@pytest.mark.covers("F03", "F04")
@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_whole_functions_on_threads_of_an_event_loop_see_their_own(
    pair: list[Organisation], thread_sensitive: bool
) -> None:
    def look(organisation: Organisation) -> bool:
        try:
            with in_schema(organisation):
                found = labels()
            return found == {organisation.label} and current() == "public"
        finally:
            connection.close()

    async def both() -> list[bool]:
        ask = sync_to_async(look, thread_sensitive=thread_sensitive)
        return await asyncio.gather(*(ask(pair[n % 2]) for n in range(2 * ROUNDS)))

    assert all(asyncio.run(both()))


@pytest.mark.covers("F04")
def test_a_fresh_connection_finds_no_tenant_table(pair: list[Organisation]) -> None:
    """What runs on another thread inside a block is in `public`, which has no such tables."""

    def look() -> str:
        try:
            return repr(labels())
        except Exception as error:
            return type(error).__name__

    with in_schema(pair[0]):
        assert in_threads(look) == ["ProgrammingError"]


@pytest.mark.covers("F05")
def test_of_two_that_make_one_schema_only_one_gets_it(live_db: None) -> None:
    name, start = schemas.new_schema_name(), threading.Barrier(2, timeout=30)

    def job() -> str:
        start.wait()
        try:
            schemas.create_schema(name)
        except schemas.SchemaExists:
            return "exists"
        return "made"

    assert sorted(str(said) for said in in_threads(job, job)) == ["exists", "made"]
    schemas.drop_schema(name)


def test_a_lost_connection_leaves_nothing_behind(pair: list[Organisation]) -> None:
    def job() -> tuple[str, bool]:
        try:
            with in_schema(pair[0]):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    pid = cursor.fetchone()[0]
                in_threads(lambda: terminate(pid))
                labels()
        except Exception as error:
            connection.close()
            return type(error).__name__, current() == "public"
        return "no error", False

    assert in_threads(job) == [("OperationalError", True)]


def test_a_connection_that_is_made_again_inside_stays_in_the_schema(
    pair: list[Organisation],
) -> None:
    def job() -> tuple[bool, str]:
        with in_schema(pair[1]):
            connection.close()
            found = labels() == {pair[1].label}
        return found, current()

    assert in_threads(job) == [(True, "public")]


def terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
