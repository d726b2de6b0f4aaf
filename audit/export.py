"""Writes events as JSON or CSV, piece by piece: memory does not grow with the trail.

A spreadsheet runs cells that begin with =, +, -, @, a tab or a carriage return as formulas (F68);
in CSV such cells get an apostrophe in front, which spreadsheets show as text.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from audit import canonical, verify
from audit.models import Batch, Event, SealedEvent

FORMATS: Final = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
PAGE: Final = 500
# With the wide forms that some spreadsheets take for the same.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

INCOMPLETE: Final = "# incomplete: there are more events than this file has"

Record = Mapping[str, Any]
Show = Callable[[Event, Batch | None], Record]


@dataclass(frozen=True)
class _Doubt:
    """What to keep of a check of one batch, which covers events of the whole platform: each batch
    is checked once per file, however its events are spread."""

    seal: bool
    events: frozenset[int]

    @classmethod
    def of(cls, findings: Sequence[verify.Finding]) -> _Doubt:
        # No event has a number below 1, so what is about "event 0" is about the seal.
        return cls(
            seal=bool(verify.about(0, findings)),
            events=frozenset(f.event for f in findings if f.event is not None),
        )

    def clears(self, event_id: int) -> bool:
        return not self.seal and event_id not in self.events


class Bounded:
    """The first `rows` of `records`, as far as they come within `seconds` of the first one's asking.

    Afterwards `complete` tells whether those were all.
    """

    def __init__(self, records: Iterable[Record], *, rows: int, seconds: float) -> None:
        self._records, self._rows, self._seconds = records, rows, seconds
        self.complete = True

    def __iter__(self) -> Iterator[Record]:
        end = time.monotonic() + self._seconds
        for number, record in enumerate(self._records):
            if number >= self._rows or time.monotonic() >= end:
                self.complete = False
                return
            yield record


def written(
    records: Iterable[Record] | Bounded, kind: str, columns: Sequence[str]
) -> Iterator[str]:
    """The pieces of a file of `kind` json or csv. JSON is one object {"events": [...], "complete":
    true}; what ended at a bound says false there, and as CSV has INCOMPLETE as its last line.

    A failure on the way leaves JSON without its end: no half file passes for a whole one.
    """
    if kind == "csv":
        yield from _csv(records, columns)
        if not _complete(records):
            yield f"{INCOMPLETE}\r\n"
        return
    yield '{"events": ['
    for number, record in enumerate(records):
        yield (",\n" if number else "\n") + json.dumps(record, ensure_ascii=False, default=str)
    yield f'\n], "complete": {json.dumps(_complete(records))}}}\n'


def safe_cell(value: Any) -> str:
    """One cell's text. Structures become JSON."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text


def seals_of(events: Iterable[int]) -> dict[int, Batch]:
    """{event id: its seal} of those that are sealed; two queries."""
    places = dict(SealedEvent.objects.filter(event__in=list(events)).values_list("event", "batch"))
    batches = Batch.objects.in_bulk(set(places.values()))
    return {event: batches[number] for event, number in places.items() if number in batches}


def records(
    rows: QuerySet[Event],
    show: Show,
    *,
    check: bool = False,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Record]:
    """`rows`, newest first, each as `show(event, its seal or None)` makes it.

    With `check` each record gets `verified`: true, false, or null while it is not sealed. Each page
    of rows is read, and each batch checked, within `guard()`. Pages go by id, without OFFSET.
    """
    checked: dict[int, _Doubt] = {}
    below: int | None = None
    while True:
        part = rows if below is None else rows.filter(pk__lt=below)
        with guard():
            page = list(part.order_by("-id")[:PAGE])
            seals = seals_of(event.pk for event in page)
        if not page:
            return
        for event in page:
            seal = seals.get(event.pk)
            record = dict(show(event, seal))
            if check:
                if seal is not None and seal.number not in checked:
                    with guard():
                        checked[seal.number] = _Doubt.of(verify.batch(seal.number))
                record["verified"] = None if seal is None else checked[seal.number].clears(event.pk)
            yield record
        below = page[-1].pk


def full_record(event: Event, seal: Batch | None) -> dict[str, Any]:
    """Every column, for staff and for keeping; FULL names them in order."""
    return {
        "id": str(event.uuid),
        "number": event.pk,
        "timestamp": canonical.time_text(event.at),
        "event": event.action,
        "actor_kind": event.actor_kind,
        "actor_id": event.actor_id,
        "actor": event.actor_label,
        "organisation": str(event.organisation or ""),
        "subject": event.subject,
        "success": event.success,
        "reason": event.reason,
        "before": event.before,
        "after": event.after,
        "ip": event.address or "",
        "path": event.path,
        "request_id": event.request_id,
        "seal": seal.number if seal else None,
        "signature": seal.signature if seal else "",
    }


FULL: Final = (
    "id", "number", "timestamp", "event", "actor_kind", "actor_id", "actor", "organisation",
    "subject", "success", "reason", "before", "after", "ip", "path", "request_id", "seal",
    "signature",
)  # fmt: skip


def _csv(records: Iterable[Record], columns: Sequence[str]) -> Iterator[str]:
    sink = io.StringIO()
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    sink.write("\ufeff")  # or spreadsheets read UTF-8 as something else
    writer.writerow(columns)
    for record in records:
        writer.writerow([safe_cell(record.get(name)) for name in columns])
        if sink.tell() > 16_384:
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _complete(records: Iterable[Record] | Bounded) -> bool:
    return records.complete if isinstance(records, Bounded) else True
