"""Checks the trail against its seals: finds what was changed, removed, reordered or slipped in.

What it cannot see: events that were removed before they were sealed (a minute at most), and a
tail that was cut off, unless it is told a head that was noted elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db import connection

from audit import canonical, keys
from audit.models import Batch, SealedEvent
from audit.sealing import LATE

KEPT: Final = 100  # findings that a report names; it counts all
CHUNK: Final = 2000  # events in memory at a time

# A row of the seals with its event: (batch, position, event, hash, columns or None).
_Row = tuple[int, int, int, bytes, tuple[str | None, ...] | None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finding:
    """`code` is stable; `batch` and `event` (its number in the trail) say where, if anywhere."""

    code: str
    message: str
    batch: int | None = None
    event: int | None = None


@dataclass
class Report:
    """What a check of the whole trail found."""

    batches: int = 0
    events: int = 0
    head: str = ""
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        return self.found == 0

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.found += 1
            if len(self.findings) < KEPT:
                self.findings.append(finding)


def whole(
    *,
    heads: Sequence[tuple[int | None, str]] = (),
    pins: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Checks every batch and event. Memory does not grow with the trail.

    `heads` are (number or None, hash) that were noted elsewhere and must be in the chain; `pins`
    are ids of keys to believe beside our own; `progress` is told (batches, events) now and then.
    """
    believed = keys.believed(pins)
    report, wanted = Report(), {hashed: number for number, hashed in heads}
    previous: Batch | None = None
    past = _Past()
    for chunk in _chunks():
        rows = _rows_by_batch(chunk)
        for batch in chunk:
            events = rows.get(batch.number, [])
            report.add(_link(batch, previous))
            report.add(_contents(batch, events, believed))
            report.add(past.slipped_in(batch, events))
            if wanted.get(batch.hash, batch.number) in (None, batch.number):
                wanted.pop(batch.hash, None)
            past.remember(batch)
            report.batches, report.events = report.batches + 1, report.events + len(events)
            previous = batch
        if progress:
            progress(report.batches, report.events)
    report.head = canonical.head_text(previous) if previous else ""
    report.add(_missing_heads(wanted))
    report.add(_seals_without_batch(previous))
    report.add(_never_sealed(past.settled))
    return report


def batch(number: int) -> list[Finding]:
    """Checks one batch: its link to the one before, its signature and its events."""
    found = Batch.objects.filter(number=number).first()
    if found is None:
        return [Finding("batch_missing", f"Seal {number} is gone.", number)]
    before = Batch.objects.filter(number=number - 1).first()
    if before is None and number > 1:
        link: Iterable[Finding] = [
            Finding("batch_missing", f"Seal {number - 1} is gone.", number - 1)
        ]
    else:
        link = _link(found, before)
    rows = _rows_by_batch([found]).get(number, [])
    return [*link, *_contents(found, rows, keys.believed())]


def event(event_id: int) -> tuple[bool, list[Finding]]:
    """(whether it is sealed, what is wrong with it or with its batch's signature)."""
    place = SealedEvent.objects.filter(event=event_id).first()
    if place is None:
        return False, []
    return True, about(event_id, batch(place.batch))


def about(event_id: int, findings: Iterable[Finding]) -> list[Finding]:
    """Those of a batch's findings that put this event in doubt: its own, and the seal's."""
    of_seal = ("batch_missing", "batch_changed", "signature_wrong", "seal_missing")
    return [f for f in findings if f.event == event_id or f.code in of_seal]


# --- one batch --------------------------------------------------------------------------------------


def _link(batch: Batch, previous: Batch | None) -> Iterator[Finding]:
    expected = previous.number + 1 if previous else 1
    if batch.number != expected:
        gap = f"{expected} to {batch.number - 1}" if batch.number - 1 > expected else str(expected)
        yield Finding("batch_missing", f"Seal {gap} is gone.", expected)
    elif batch.previous_hash != (previous.hash if previous else canonical.FIRST):
        yield Finding(
            "chain_broken",
            f"Seal {batch.number} does not follow the one before it.",
            batch.number,
        )


def _contents(
    batch: Batch, rows: Sequence[_Row], believed: dict[str, keys.Believed]
) -> Iterator[Finding]:
    number = batch.number
    if batch.form not in canonical.FORMS:
        yield Finding("form_unknown", f"Seal {number} has an unknown form.", number)
        return
    if len(rows) != batch.count or any(row[1] != place for place, row in enumerate(rows)):
        yield Finding(
            "seal_missing",
            f"Seal {number} covers {batch.count} events; their places are not as they were.",
            number,
        )
    if canonical.batch_hash(batch, ((row[2], row[3]) for row in rows)) != batch.hash:
        yield Finding(
            "batch_changed",
            f"Seal {number} was changed, or the places of its events were.",
            number,
        )
    if not keys.counts(batch, believed, canonical.signed_text(batch.form, batch.hash)):
        yield Finding(
            "signature_wrong",
            f"Seal {number} is not signed by a key of ours (it names {batch.key_id}).",
            number,
        )
    for _, _, event_id, hashed, values in rows:
        if values is None:
            yield Finding("event_missing", f"Event {event_id} is gone.", number, event_id)
        elif canonical.event_hash(batch.form, values) != hashed:
            yield Finding("event_changed", f"Event {event_id} was changed.", number, event_id)


class _Past:
    """Which ids and times were settled when a batch was made; see audit.sealing.settled."""

    def __init__(self) -> None:
        self.times: list[str] = []
        self.highest: list[int] = []
        self.complete: Batch | None = None

    def remember(self, batch: Batch) -> None:
        self.times.append(canonical.time_text(batch.sealed_at))
        self.highest.append(batch.highest_event)
        if batch.caught_up:
            self.complete = batch
            # Nothing before the settled one is asked for again.
            keep = max(0, bisect_right(self.times, self._limit()) - 1)
            del self.times[:keep], self.highest[:keep]

    @property
    def settled(self) -> int:
        if self.complete is None:
            return 0
        place = bisect_right(self.times, self._limit())
        return self.highest[place - 1] if place else 0

    def slipped_in(self, batch: Batch, rows: Sequence[_Row]) -> Iterator[Finding]:
        """Events that claim to be older than what was complete before them."""
        if self.complete is None:
            return
        settled, limit = self.settled, self._limit()
        for _, _, event_id, _, values in rows:
            at = values[canonical.AT] if values else None
            if event_id <= settled or (at is not None and at < limit):
                yield Finding(
                    "event_slipped_in",
                    f"Event {event_id} came into the past: it was sealed long after its time.",
                    batch.number,
                    event_id,
                )

    def _limit(self) -> str:
        assert self.complete is not None  # noqa: S101  asked only then
        return canonical.time_text(self.complete.sealed_at - LATE)


# --- around the batches -------------------------------------------------------------------------------


def _missing_heads(wanted: dict[str, int | None]) -> Iterator[Finding]:
    for hashed, number in wanted.items():
        name = hashed[:8] if number is None else f"{number}:{hashed[:8]}"
        yield Finding(
            "head_missing",
            f"The known head {name}… is not in the chain: its end was cut off or replaced.",
            number,
        )


def _seals_without_batch(last: Batch | None) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT batch FROM public.audit_sealedevent WHERE batch > %s OR batch < 1"
            " ORDER BY batch LIMIT %s",
            [last.number if last else 0, KEPT],
        )
        for (number,) in cursor.fetchall():
            yield Finding("batch_missing", f"Seal {number} is gone.", number)


def _never_sealed(settled: int) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM public.audit_event e WHERE e.id <= %s AND NOT EXISTS ("
            " SELECT 1 FROM public.audit_sealedevent s WHERE s.event = e.id) ORDER BY e.id LIMIT %s",
            [settled, KEPT],
        )
        for (event_id,) in cursor.fetchall():
            yield Finding(
                "event_slipped_in",
                f"Event {event_id} came into the past: it stands among sealed ones, unsealed.",
                None,
                event_id,
            )


# --- reading ------------------------------------------------------------------------------------------


def _chunks() -> Iterator[list[Batch]]:
    """All batches by number, as many at a time as hold CHUNK events or 500 batches."""
    after: int | None = None
    while True:
        rows = Batch.objects.order_by("number")
        page = list(rows[:500] if after is None else rows.filter(number__gt=after)[:500])
        if not page:
            return
        chunk: list[Batch] = []
        size = 0
        for each in page:
            if chunk and (size + each.count > CHUNK or each.form != chunk[0].form):
                yield chunk
                chunk, size = [], 0
            chunk.append(each)
            size += each.count
        yield chunk
        after = page[-1].number


def _rows_by_batch(batches: Sequence[Batch]) -> dict[int, list[_Row]]:
    """The sealed events of neighbouring batches of one form, in their order."""
    form = batches[0].form
    if form not in canonical.FORMS:
        return {}
    found: dict[int, list[_Row]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT s.batch, s.position, s.event, s.hash, {canonical.columns(form, 'e')}"  # noqa: S608
            " FROM public.audit_sealedevent s LEFT JOIN public.audit_event e ON e.id = s.event"
            " WHERE s.batch BETWEEN %s AND %s ORDER BY s.batch, s.position",
            [batches[0].number, batches[-1].number],
        )
        for number, position, event_id, hashed, *values in cursor.fetchall():
            columns = None if values[0] is None else tuple(values)
            found.setdefault(number, []).append(
                (number, position, event_id, bytes(hashed), columns)
            )
    return found
