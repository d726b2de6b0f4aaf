"""Events are sealed in signed batches: all of them, once, whatever order they are committed in."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, connections, transaction

from audit import canonical, keys, sealing, verify
from audit.models import Batch, Event, KeyStatement, SealedEvent
from tests import databases
from tests.audit.tampering import events_of, record, sealed
from tests.databases import looking_into
from tests.waiting import until

WRITE = (
    "INSERT INTO audit_event (uuid, at, action, actor_kind, actor_id, actor_label, subject,"
    " success, path, reason, request_id) VALUES (gen_random_uuid(), now(), 'late', 'system', '',"
    " '', '', true, '', '', '') RETURNING id"
)


@pytest.fixture
def writer(scratch: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    with psycopg.connect(databases.url(scratch)) as opened:
        yield opened


def write(connection: psycopg.Connection[tuple[int]]) -> int:
    row = connection.execute(WRITE).fetchone()
    assert row
    return row[0]


def test_works(scratch: str) -> None:
    first, second = sealed(3, 2)
    assert (first.number, second.number) == (1, 2)
    assert first.previous_hash == canonical.FIRST
    assert second.previous_hash == first.hash
    assert first.key_id == keys.own().key_id
    assert set(SealedEvent.objects.values_list("event", flat=True)) == set(
        Event.objects.values_list("pk", flat=True)
    )
    report = verify.whole()
    assert (report.intact, report.batches, report.events) == (True, 2, 5)
    assert report.head == canonical.head_text(second)


def test_nothing_to_seal_makes_no_batch(scratch: str) -> None:
    assert sealing.seal() == []
    sealed(1)
    assert sealing.seal() == []
    assert verify.whole().intact


def test_a_long_backlog_goes_into_several_batches(
    scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SIZE", 4)
    record(10)
    made = sealing.seal()
    assert [(batch.count, batch.caught_up) for batch in made] == [
        (4, False),
        (4, False),
        (2, True),
    ]
    assert verify.whole().intact


def test_every_column_is_in_the_newest_form() -> None:
    columns = {field.column for field in Event._meta.concrete_fields}
    assert set(canonical.FORMS[canonical.FORM]) == columns
    assert canonical.FORMS[canonical.FORM][canonical.AT] == "at"


def test_the_layout_never_changes() -> None:
    """Made with sha256sum; a change here means that old seals would not verify any more."""
    hashed = canonical.event_hash(1, ["1", None, "2026-01-02T03:04:05.000006Z", 'ä"'])
    assert hashed.hex() == LAYOUT["event"]
    batch = Batch(number=2, form=1, previous_hash="ab" * 32, count=1, highest_event=7,
                  caught_up=True, key_id="cd" * 16)  # fmt: skip
    batch.sealed_at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert canonical.batch_hash(batch, [(7, b"x" * 32)]) == LAYOUT["batch"]


LAYOUT = {
    "event": "ff7f712e7774e75026f54038a5f64bba34db033ac66c044c8dd27d9b39828a3a",
    "batch": "f003d7a4694b6d764f769a1e2300f44b57974ba1cfd7275a863d2e3c301797ee",
}


@pytest.mark.parametrize("table", ["audit_batch", "audit_sealedevent", "audit_keystatement"])
@pytest.mark.parametrize("verb", ["DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET {}"])
def test_the_database_refuses_to_rewrite_seals(db: None, table: str, verb: str) -> None:
    column = {"audit_batch": "count = 0", "audit_sealedevent": "position = 9"}
    record()
    sealing.seal()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(verb.format(table, column.get(table, "key_id = ''")))


def test_a_late_commit_below_sealed_ids_is_taken_with_the_next_batch(
    scratch: str, writer: psycopg.Connection[tuple[int]]
) -> None:
    late = write(writer)
    record(2)
    (first,) = sealing.seal()
    assert min(events_of(first)) > late
    writer.commit()
    (second,) = sealing.seal()
    assert events_of(second) == [late]
    assert second.highest_event == first.highest_event
    assert verify.whole().intact


def test_gaps_are_no_finding(scratch: str, writer: psycopg.Connection[tuple[int]]) -> None:
    record()
    write(writer)
    writer.rollback()
    record()
    sealing.seal()
    low, high = Event.objects.order_by("id").values_list("pk", flat=True)
    assert high == low + 2
    assert verify.whole().intact


def test_two_sealers_do_not_seal_twice(scratch: str) -> None:
    record(5)
    with psycopg.connect(databases.url(scratch)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [sealing._LOCK])
        assert sealing.seal() == []
    assert len(sealing.seal()) == 1


def test_writers_and_sealers_at_once(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions of different lengths commit out of order while two threads seal."""
    monkeypatch.setattr(sealing, "SIZE", 20)
    stop = threading.Event()

    def writing(seed: int) -> int:
        with psycopg.connect(databases.url(scratch)) as mine:
            for turn in range(40):
                for _ in range(1 + (seed + turn) % 4):
                    mine.execute(WRITE)
                stop.wait(0.002 * ((seed * turn) % 5))
                if turn % 7 == seed:
                    mine.rollback()
                mine.commit()
        return seed

    def sealing_on() -> None:
        try:
            while not stop.wait(0.005):
                sealing.seal()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        sealers = [pool.submit(sealing_on) for _ in range(2)]
        assert sorted(pool.map(writing, range(5))) == list(range(5))
        stop.set()
        for sealer in sealers:
            sealer.result(20)
    sealing.seal()
    report = verify.whole()
    assert report.findings == []
    assert report.events == Event.objects.count() > 300
    assert report.batches > 5
    assert sealing.backlog().unsealed == 0


@pytest.mark.parametrize("moment", ["first", "third"])
def test_killed_in_the_middle_the_next_run_goes_on(
    scratch: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """SIGKILL between the places of a batch and the batch itself."""
    monkeypatch.setattr(sealing, "SIZE", 4)
    record(14)
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            left = {"first": 1, "third": 3}[moment]
            save = Batch.save

            def dying(batch: Batch, **options: object) -> None:
                nonlocal left
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                save(batch, **options)  # type: ignore[arg-type]

            Batch.save = dying  # type: ignore[assignment, method-assign]
            sealing.seal()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    done = {"first": 0, "third": 2}[moment]
    assert Batch.objects.count() == done
    assert SealedEvent.objects.count() == 4 * done
    until(lambda: sealing.seal(), 5, what="the dead process's lock is gone")
    assert verify.whole().intact
    assert SealedEvent.objects.count() == 14


def test_old_ids_are_not_looked_at_again(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = sealed(3, 3)
    assert sealing.settled() == 0
    monkeypatch.setattr(sealing, "LATE", second.sealed_at - first.sealed_at)
    assert sealing.settled() == first.highest_event
    assert sealing.backlog().unsealed == 0
    record(2)
    assert sealing.backlog().unsealed == 2
    (third,) = sealing.seal()
    assert third.count == 2


def test_the_backlog_says_how_many_and_since_when(scratch: str) -> None:
    nothing = sealing.backlog()
    assert (nothing.unsealed, nothing.oldest, nothing.last_sealed_at) == (0, None, None)
    first, _ = record(2)
    waiting = sealing.backlog()
    assert (waiting.unsealed, waiting.oldest) == (2, first.at)
    (batch,) = sealing.seal()
    assert sealing.backlog() == sealing.Backlog(0, None, batch.sealed_at)


def test_stays_cheap_with_many_rows(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is settled is not read: neither the scrape nor the minute's job grows with the trail."""
    many = 200_000
    with connection.cursor() as cursor:
        cursor.execute(WRITE.replace(" RETURNING id", "").replace(
            "VALUES (gen_random_uuid(), now(), 'late', 'system', '', '', '', true, '', '', '')",
            "SELECT gen_random_uuid(), now(), 'late', 'system', '', '', '', true, '', '', ''"
            f" FROM generate_series(1, {many})"))  # fmt: skip
        cursor.execute(
            "INSERT INTO audit_sealedevent (event, batch, position, hash)"
            " SELECT id, 1, row_number() OVER (ORDER BY id) - 1, ''::bytea FROM audit_event"
        )
        cursor.execute("SELECT max(id) FROM audit_event")
        highest = cursor.fetchone()[0]
        for number, hours in ((1, 3), (2, 1)):
            cursor.execute(
                "INSERT INTO audit_batch (number, form, previous_hash, hash, count, highest_event,"
                " caught_up, sealed_at, key_id, signature) VALUES"
                " (%s, 1, '', %s, 0, %s, true, now() - make_interval(hours => %s), '', '')",
                [number, str(number), highest, hours],
            )
        cursor.execute("ANALYZE audit_event, audit_sealedevent")
        record(3)
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT e.id "
            + sealing._UNSEALED.replace("%(settled)s", str(sealing.settled()))
            + " ORDER BY e.id LIMIT 1000"
        )
        plan = cursor.fetchone()[0][0]
    assert sealing.settled() == highest
    assert sealing.backlog().unsealed == 3
    assert plan["Execution Time"] < 50, plan


class TestKeys:
    """PULSECLOUD_ENCRYPTION_KEY is replaced: the key of the seals changes with it."""

    OTHER = "b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkgMTI="

    def test_a_new_key_does_not_go_on_by_itself(self, scratch: str, settings: Any) -> None:
        sealed(2)
        former = keys.own().key_id
        settings.ENCRYPTION_KEY = self.OTHER
        record()
        with pytest.raises(sealing.SealingRefused, match=f"audit trust {former}"):
            sealing.seal()
        assert [f.code for f in verify.whole().findings] == ["signature_wrong"]
        assert verify.whole(pins=[former]).intact

    def test_trusted_it_does_and_everything_verifies(self, scratch: str, settings: Any) -> None:
        from audit.actors import Actor

        sealed(2, 2)
        former = keys.own().key_id
        settings.ENCRYPTION_KEY = self.OTHER
        sealing.trust(former, actor=Actor.system("test"), reason="replaced")
        sealing.trust(former, actor=Actor.system("test"), reason="twice does nothing")
        assert Event.objects.filter(action="audit_key_trusted").count() == 1
        (third,) = sealing.seal()
        assert third.key_id != former
        assert verify.whole().intact
        # And once more: the third key believes the second, and through it the first.
        settings.ENCRYPTION_KEY = self.OTHER.replace("b3Ro", "c3Ro")
        sealing.trust(third.key_id, actor=Actor.system("test"))
        sealing.seal()
        assert verify.whole().intact
        assert KeyStatement.objects.values("key_id").distinct().count() == 3

    def test_a_former_key_may_not_sign_any_more(self, scratch: str, settings: Any) -> None:
        """It leaked; that is why it was replaced."""
        from audit.actors import Actor

        sealed(2)
        mine = settings.ENCRYPTION_KEY
        former = keys.own().key_id
        settings.ENCRYPTION_KEY = self.OTHER
        sealing.trust(former, actor=Actor.system("test"))
        settings.ENCRYPTION_KEY = mine
        sealing.seal()
        settings.ENCRYPTION_KEY = self.OTHER
        assert [(f.code, f.batch) for f in verify.whole().findings] == [("signature_wrong", 2)]
        record()
        with pytest.raises(sealing.SealingRefused):
            sealing.seal()

    def test_an_unknown_key_cannot_be_trusted(self, scratch: str) -> None:
        from audit.actors import Actor

        with pytest.raises(keys.KeyMissing):
            sealing.trust(uuid.uuid4().hex, actor=Actor.system("test"))

    def test_without_a_usable_key_nothing_is_sealed(self, scratch: str, settings: Any) -> None:
        record()
        settings.ENCRYPTION_KEY = "short"
        with pytest.raises(keys.KeyMissing):
            sealing.seal()
        assert keys.believed() == {}


def test_the_lock_of_one_database_is_not_that_of_another(
    scratch: str, clean_database_name: str
) -> None:
    """Advisory locks are per database, so tests and products beside each other do not wait."""
    record()
    with psycopg.connect(databases.url(clean_database_name)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [sealing._LOCK])
        assert len(sealing.seal()) == 1
    with looking_into(scratch):
        assert Batch.objects.count() == 1
