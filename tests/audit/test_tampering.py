"""Somebody who rules the database rewrites the trail; `verify` says what they did."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from audit import canonical, keys, sealing, verify
from audit.models import Batch, Event, KeyStatement, SealedEvent
from tests.audit.tampering import events_of, forge, record, sealed

pytestmark = pytest.mark.covers("H8")


def found(**options: Any) -> list[tuple[str, int | None, int | None]]:
    return [(f.code, f.batch, f.event) for f in verify.whole(**options).findings]


CHANGES = {
    "reason": "reason = 'because'",
    "actor": "actor_label = 'somebody else'",
    "time": "at = at + interval '1 microsecond'",
    "outcome": "success = NOT success",
    "after": """after = '{"state": "active", "rate": 0.10000000000000000001}'""",
    "organisation": "organisation = gen_random_uuid()",
    "address": "address = '192.0.2.7/24'",
    "uuid": "uuid = gen_random_uuid()",
    "before, from nothing to null": "before = 'null'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_row(scratch: str, change: str) -> None:
    record(2, after={"state": "active", "rate": 0.1}, address="192.0.2.7")
    (first,) = sealing.seal()
    sealed(2)
    event = events_of(first)[1]
    forge(scratch, f"UPDATE audit_event SET {change} WHERE id = {event}")
    assert found() == [("event_changed", 1, event)]
    assert verify.event(event) == (True, verify.batch(1))
    assert verify.event(events_of(first)[0]) == (True, [])


def test_a_removed_row(scratch: str) -> None:
    _, second, _ = sealed()
    gone = events_of(second)[1]
    forge(scratch, f"DELETE FROM audit_event WHERE id = {gone}")
    assert found() == [("event_missing", 2, gone)]
    assert [f.code for f in verify.batch(2)] == ["event_missing"]


def test_a_row_removed_with_its_place(scratch: str) -> None:
    _, second, _ = sealed()
    gone = events_of(second)[2]
    forge(
        scratch,
        f"DELETE FROM audit_event WHERE id = {gone}",
        f"DELETE FROM audit_sealedevent WHERE event = {gone}",
    )
    assert {code for code, _, _ in found()} == {"seal_missing", "batch_changed"}
    assert {batch for _, batch, _ in found()} == {2}


def test_two_rows_swapped(scratch: str) -> None:
    first, _, third = sealed()
    one, other = events_of(first)[0], events_of(third)[0]
    forge(
        scratch,
        f"UPDATE audit_event SET id = -1 WHERE id = {one}",
        f"UPDATE audit_event SET id = {one} WHERE id = {other}",
        f"UPDATE audit_event SET id = {other} WHERE id = -1",
    )
    assert found() == [("event_changed", 1, one), ("event_changed", 3, other)]


def test_places_swapped(scratch: str) -> None:
    first, *_ = sealed()
    one, other, _ = events_of(first)
    forge(
        scratch,
        f"UPDATE audit_sealedevent SET position = 9 WHERE event = {one}",
        f"UPDATE audit_sealedevent SET position = 0 WHERE event = {other}",
        f"UPDATE audit_sealedevent SET position = 1 WHERE event = {one}",
    )
    assert found() == [("batch_changed", 1, None)]


def test_a_row_changed_together_with_its_place(scratch: str) -> None:
    """The hash of the event is put right; that of its batch is not."""
    first, *_ = sealed()
    event = events_of(first)[0]
    forge(scratch, f"UPDATE audit_event SET reason = 'x' WHERE id = {event}")
    _rehash(scratch, event)
    assert found() == [("batch_changed", 1, None)]


def test_and_with_the_hash_of_its_batch(scratch: str) -> None:
    """Everything is put right that needs no key: signature and chain tell."""
    first, *_ = sealed()
    event = events_of(first)[0]
    forge(scratch, f"UPDATE audit_event SET reason = 'x' WHERE id = {event}")
    _rehash(scratch, event)
    batch = Batch.objects.get(number=1)
    hashed = canonical.batch_hash(batch, _places(1))
    forge(scratch, f"UPDATE audit_batch SET hash = '{hashed}' WHERE number = 1")
    assert found() == [("signature_wrong", 1, None), ("chain_broken", 2, None)]


def test_a_row_inserted_into_the_past(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below ids that are settled, unsealed for ever: the sealer does not take it in."""
    first, second = sealed(3, 3)
    monkeypatch.setattr(sealing, "LATE", second.sealed_at - first.sealed_at)
    monkeypatch.setattr(verify, "LATE", second.sealed_at - first.sealed_at)
    _insert(id=-5)
    assert sealing.seal() == []
    assert found() == [("event_slipped_in", None, -5)]


def test_a_row_inserted_with_an_old_time(scratch: str) -> None:
    """With a fresh id it is sealed like any other; its time gives it away."""
    sealed()
    _insert(at=datetime.now(UTC) - sealing.LATE - timedelta(minutes=1))
    (batch,) = sealing.seal()
    assert found() == [("event_slipped_in", 4, events_of(batch)[0])]


def test_an_old_backlog_is_not_taken_for_it(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker stood still for hours; then several batches are made at once."""
    monkeypatch.setattr(sealing, "SIZE", 2)
    long_ago = datetime.now(UTC) - timedelta(hours=5)
    for minutes in range(5):
        _insert(at=long_ago + timedelta(minutes=minutes))
    assert len(sealing.seal()) == 3
    assert found() == []


def test_a_removed_batch(scratch: str) -> None:
    sealed()
    forge(scratch, "DELETE FROM audit_batch WHERE number = 2")
    assert ("batch_missing", 2, None) in found()
    assert [f.code for f in verify.batch(3)] == ["batch_missing"]


def test_a_batch_removed_with_everything_in_it(scratch: str) -> None:
    _, second, _ = sealed()
    ids = ", ".join(map(str, events_of(second)))
    forge(
        scratch,
        "DELETE FROM audit_batch WHERE number = 2",
        "DELETE FROM audit_sealedevent WHERE batch = 2",
        f"DELETE FROM audit_event WHERE id IN ({ids})",
    )
    assert found() == [("batch_missing", 2, None)]


def test_a_batch_removed_and_the_rest_renumbered(scratch: str) -> None:
    sealed()
    forge(
        scratch,
        "DELETE FROM audit_batch WHERE number = 2",
        "DELETE FROM audit_sealedevent WHERE batch = 2",
        "UPDATE audit_batch SET number = 2 WHERE number = 3",
        "UPDATE audit_sealedevent SET batch = 2 WHERE batch = 3",
    )
    assert found() == [("chain_broken", 2, None), ("batch_changed", 2, None)]


CUT = (
    "DELETE FROM audit_event WHERE id IN (SELECT event FROM audit_sealedevent WHERE batch = 3)",
    "DELETE FROM audit_sealedevent WHERE batch = 3",
    "DELETE FROM audit_batch WHERE number = 3",
)


@pytest.mark.parametrize("sealed_again", [False, True], ids=["cut", "cut and continued"])
def test_a_cut_tail_shows_with_a_known_head(scratch: str, sealed_again: bool) -> None:
    _, second, third = sealed()
    noted = canonical.parse_head(canonical.head_text(third))
    forge(scratch, *CUT)
    if sealed_again:
        sealed(2)
    assert found() == []  # nothing in the database can show it
    assert found(heads=[noted]) == [("head_missing", 3, None)]
    assert found(heads=[(None, noted[1])]) == [("head_missing", None, None)]
    assert found(heads=[(2, second.hash), (None, second.hash)]) == []
    assert found(heads=[(1, second.hash)]) == [("head_missing", 1, None)]


def test_places_without_their_batch(scratch: str) -> None:
    sealed()
    forge(scratch, CUT[2])
    assert found() == [("batch_missing", 3, None)]


class TestForgedByAnotherKey:
    """Whoever writes to the database and lacks the encryption key brings a key of their own."""

    def test_a_batch_is_appended(self, scratch: str) -> None:
        sealed()
        forger = _Forger(scratch)
        forger.append()
        assert found() == [("signature_wrong", 4, None)]
        record()
        with pytest.raises(sealing.SealingRefused, match=forger.key_id):
            sealing.seal()  # our signature would cover it

    def test_it_claims_our_key(self, scratch: str) -> None:
        sealed()
        _Forger(scratch).append(key_id=keys.own().key_id)
        assert found() == [("signature_wrong", 4, None)]
        record()
        with pytest.raises(sealing.SealingRefused, match="not its signature"):
            sealing.seal()

    def test_with_a_statement_for_that_key(self, scratch: str) -> None:
        """They may write what they like into the table of keys: ours does not vouch for it."""
        sealed()
        forger = _Forger(scratch)
        forger.append()
        forger.state(by=forger.key_id, up_to=None)
        forger.state(by=keys.own().key_id, up_to=99)
        assert found() == [("signature_wrong", 4, None)]
        with pytest.raises(sealing.SealingRefused):
            sealing.seal()

    def test_the_whole_chain_is_made_anew(self, scratch: str) -> None:
        sealed()
        forger = _Forger(scratch)
        forge(
            scratch,
            "UPDATE audit_event SET reason = 'history, rewritten'",
            "DELETE FROM audit_batch",
            "DELETE FROM audit_sealedevent",
            "DELETE FROM audit_keystatement",
        )
        forger.state(by=forger.key_id, up_to=None)
        forger.append(*Event.objects.order_by("id").values_list("pk", flat=True))
        assert found() == [("signature_wrong", 1, None)]
        with pytest.raises(sealing.SealingRefused):
            sealing.seal()


def test_a_report_counts_more_than_it_names(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "KEPT", 2)
    sealed(5)
    forge(scratch, "UPDATE audit_event SET reason = 'x'")
    report = verify.whole()
    assert (report.found, len(report.findings), report.intact) == (5, 2, False)


def test_small_chunks_find_the_same(scratch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "CHUNK", 3)
    batches = sealed(2, 2, 2)
    told: list[tuple[int, int]] = []
    assert verify.whole(progress=lambda *seen: told.append(seen)).intact
    assert told == [(1, 2), (2, 4), (3, 6)]
    forge(scratch, f"DELETE FROM audit_event WHERE id = {events_of(batches[2])[0]}")
    assert [code for code, _, _ in found()] == ["event_missing"]


# --- what tampering takes ---------------------------------------------------------------------------


class _Forger:
    """Makes batches that are right in everything but the key."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.private = Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes_raw()
        self.key_id = keys.fingerprint(self.public)

    def append(self, *events: int, key_id: str = "") -> None:
        last = sealing.head()
        events = events or (record()[0].pk,)
        hashed = [(event, _hash_of(event)) for event in events]
        batch = Batch(
            number=last.number + 1 if last else 1, form=1, count=len(hashed), caught_up=True,
            previous_hash=last.hash if last else canonical.FIRST, highest_event=max(events),
            sealed_at=datetime.now(UTC), key_id=key_id or self.key_id,
        )  # fmt: skip
        batch.hash = canonical.batch_hash(batch, hashed)
        batch.signature = self.private.sign(canonical.signed_text(1, batch.hash)).hex()
        batch.save(force_insert=True)
        for place, (event, digest) in enumerate(hashed):
            SealedEvent.objects.create(event=event, batch=batch.number, position=place, hash=digest)

    def state(self, *, by: str, up_to: int | None) -> None:
        said = KeyStatement(
            key_id=self.key_id, public_key=base64.b64encode(self.public).decode(),
            by_key_id=by, up_to=up_to,
        )  # fmt: skip
        said.signature = self.private.sign(keys._text(said)).hex()
        said.save()


def _insert(**columns: Any) -> None:
    names = {"at": datetime.now(UTC), **columns}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO audit_event ({', '.join(names)}, uuid, action, actor_kind, actor_id,"
            " actor_label, subject, success, path, reason, request_id) VALUES"
            f" ({', '.join(['%s'] * len(names))}, gen_random_uuid(), 'planted', 'system', '', '',"
            " '', true, '', '', '')",
            list(names.values()),
        )


def _hash_of(event: int) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {canonical.columns(1, 'e')} FROM audit_event e WHERE id = %s", [event]
        )
        return canonical.event_hash(1, cursor.fetchone())


def _rehash(database: str, event: int) -> None:
    forge(
        database,
        f"UPDATE audit_sealedevent SET hash = '\\x{_hash_of(event).hex()}' WHERE event = {event}",
    )


def _places(batch: int) -> list[tuple[int, bytes]]:
    rows = SealedEvent.objects.filter(batch=batch).order_by("position")
    return [(row.event, bytes(row.hash)) for row in rows]
