"""Organisations are served while their tables are migrated, and nobody waits long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from rbac.models import Role
from tenants import schemas
from tenants.models import Organisation
from tenants.upgrades import running, versions
from tests.factories import make_organisation
from tests.upgrades import release
from tests.upgrades.looking import columns, rows, schemas_of_ours
from tests.upgrades.release import NextRelease


@contextmanager
def holding(organisation: Organisation, *, writes: bool = False) -> Iterator[threading.Event]:
    """Another connection reads this organisation's roles, or writes to them, and keeps its transaction
    open until the event is set."""
    reads, enough = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with schemas.in_schema(organisation), transaction.atomic():
                list(Role.objects.all())
                if writes:
                    Role.objects.update(priority=1)
                reads.set()
                enough.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert reads.wait(10)
    try:
        yield enough
    finally:
        enough.set()
        thread.join(30)


def test_requests_are_answered_throughout(own_db: str, next_release: NextRelease) -> None:
    organisations = [make_organisation() for _ in range(6)]
    next_release.use(release.ADD_COLUMN, release.ADD_TABLE, release.PYTHON)
    over, waits, wrong = threading.Event(), [], []

    def ask(number: int) -> None:
        try:
            while not over.is_set():
                organisation = organisations[number % len(organisations)]
                begun = time.monotonic()
                with schemas.in_schema(organisation), transaction.atomic():
                    assert len(Role.objects.all()) == 4
                waits.append(time.monotonic() - begun)
                number += 1
        except BaseException as error:
            wrong.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        report = running.upgrade()
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    assert (report.migrated, report.stragglers) == (6, [])
    assert len(waits) > 100
    assert max(waits) < running.LOCK_MS / 1000


def test_a_busy_schema_comes_last_and_is_let_go(own_db: str, next_release: NextRelease) -> None:
    names = sorted((make_organisation() for _ in range(3)), key=lambda each: each.schema_name)
    next_release.use(release.ADD_COLUMN)
    said: list[str] = []
    with holding(names[0]) as enough:

        def say(text: str) -> None:
            said.append(text)
            # Both others are done by now, and the busy one's other readers do not wait.
            assert "colour" in columns(names[1].schema_name)
            assert "colour" in columns(names[2].schema_name)
            with schemas.in_schema(names[0]):
                assert Role.objects.count() == 4
            enough.set()

        report = running.upgrade(lock_ms=100, say=say)
    assert report.migrated == 3
    assert said[0] == "1 of 3 schemas are busy; again in 0.5 s"


def test_one_that_stays_busy_is_a_straggler(
    own_db: str, next_release: NextRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PAUSE", 0.01)
    busy, other = make_organisation(), make_organisation()
    next_release.use(release.ADD_COLUMN)
    with holding(busy):
        report = running.upgrade(lock_ms=50)
    assert report.migrated == 1
    (straggler,) = report.stragglers
    assert straggler.label == busy.label
    assert "busy in 5 tries" in straggler.error
    assert "colour" in columns(other.schema_name)


def test_a_slow_statement_is_ended(own_db: str, next_release: NextRelease) -> None:
    """On the draft nobody waits for it, so it takes its time there."""
    make_organisation()
    next_release.use('operations = [migrations.RunSQL("SELECT pg_sleep(0.3)")]')
    (straggler,) = running.upgrade(statement_ms=100).stragglers
    assert "over 0.1 s; --statement-timeout" in straggler.error
    assert rows("SHOW statement_timeout") == ["0"]
    assert running.upgrade().migrated == 1


@pytest.mark.covers("F22")
def test_two_runs_at_once_do_the_work_once(own_db: str, next_release: NextRelease) -> None:
    made = {make_organisation().schema_name for _ in range(4)}
    next_release.use(release.ADD_COLUMN)
    start = threading.Barrier(2, timeout=30)
    said: list[str] = []

    def job() -> int:
        try:
            start.wait()
            return running.upgrade(say=said.append).migrated
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        done = [future.result(timeout=60) for future in [pool.submit(job) for _ in range(2)]]
    assert sorted(done) == [0, 4]
    assert said == ["Another process is migrating schemas; waiting for it."]
    assert versions.behind(look=True) == []
    assert schemas_of_ours() == made


def test_a_schema_that_an_older_process_makes_meanwhile_is_found(
    own_db: str, next_release: NextRelease
) -> None:
    make_organisation()
    old = versions.release().version
    next_release.use(release.ADD_COLUMN)
    assert running.upgrade().migrated == 1
    late = make_organisation_of_an_older_process(next_release, old)
    assert versions.behind() == [late.schema_name]
    assert running.upgrade().migrated == 1


def test_one_that_the_old_release_makes_during_the_run_is_not_left_behind(
    own_db: str, next_release: NextRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_organisation()
    old = versions.release().version
    next_release.use(release.ADD_COLUMN)
    through = running._Run.through
    late: list[Organisation] = []

    def and_meanwhile(run: running._Run, names: list[str]) -> None:
        if not late:
            late.append(make_organisation_of_an_older_process(next_release, old))
        through(run, names)

    monkeypatch.setattr(running._Run, "through", and_meanwhile)
    report = running.upgrade()
    assert (report.behind, report.migrated, len(report.migrations)) == (2, 2, 1)
    assert "colour" in columns(late[0].schema_name)
    assert versions.behind(look=True) == []


def test_an_index_that_could_not_be_finished_is_no_obstacle(
    own_db: str, next_release: NextRelease
) -> None:
    """CREATE INDEX CONCURRENTLY waits for writers, and leaves a broken index when it gives up."""
    organisation = make_organisation()
    next_release.use(release.CONCURRENT_INDEX)
    broken, found = "SELECT count(*) FROM pg_index WHERE NOT indisvalid", []
    with holding(organisation, writes=True) as enough:

        def say(text: str) -> None:
            found.extend(rows(broken))
            enough.set()

        report = running.upgrade(lock_ms=200, say=say)
    assert (report.migrated, report.stragglers) == (1, [])
    assert (found, rows(broken)) == ([1], [0])
    name = organisation.schema_name
    assert rows(
        "SELECT 1 FROM pg_indexes WHERE schemaname = %s AND indexname = 'role_name_next'", name
    )


def make_organisation_of_an_older_process(next_release: NextRelease, version: str) -> Organisation:
    newer = next_release.settings.MIGRATION_MODULES
    next_release.settings.MIGRATION_MODULES = {}
    next_release.forget()
    organisation = make_organisation()
    assert rows(
        "SELECT version FROM tenants_schemaversion WHERE schema_name = %s",
        organisation.schema_name,
    ) == [version]
    next_release.settings.MIGRATION_MODULES = newer
    next_release.forget()
    return organisation


def test_not_within_a_transaction(own_db: str) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="one transaction each"):
        running.upgrade()
    assert not connection.in_atomic_block
