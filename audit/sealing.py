"""Seals events: takes all that no batch has yet, and appends a signed batch to the chain.

Ids are given out before commits, so an event may appear below ones that are sealed already. A
batch therefore takes whatever is not sealed and says nothing about gaps. To stay cheap with
millions of rows it does not look at ids that were settled long ago (`settled`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.utils import timezone

from audit import canonical, keys, trail
from audit.actors import Actor
from audit.models import Batch, SealedEvent

log = structlog.get_logger(__name__)

SIZE: Final = 1000  # events in a batch at most: about 1 MB of memory, 50 ms of work
# A transaction that wrote an event has ended by then; an event that appears later below sealed
# ones is not taken in any more, and `verify` reports it.
LATE: Final = timedelta(hours=1)
STUCK: Final = timedelta(minutes=10)
COUNTED: Final = 10_000
_LOCK: Final = 0x70635F617564  # pg_advisory_xact_lock "pc_aud": one sealer at a time

_UNSEALED: Final = """
FROM public.audit_event e WHERE e.id > %(settled)s AND NOT EXISTS (
    SELECT 1 FROM public.audit_sealedevent s WHERE s.event = e.id AND s.event > %(settled)s)
"""


class SealingRefused(Exception):
    """The chain's end is not ours to go on from; the message says what to do."""


@dataclass(frozen=True)
class Backlog:
    """Events that wait: how many (at most COUNTED), since when, and when the last seal was made."""

    unsealed: int
    oldest: datetime | None
    last_sealed_at: datetime | None

    @property
    def stuck(self) -> bool:
        """The worker, which seals every minute, does not, or may not."""
        return self.oldest is not None and timezone.now() - self.oldest > STUCK


def seal(*, batches: int = 1000) -> list[Batch]:
    """Seals what waits, in up to so many batches, each in a transaction of its own.

    Returns the new batches; none when nothing waits or another process is sealing. Killed at any
    moment, it leaves whole batches, and the next run goes on. Raises SealingRefused, KeyMissing.
    """
    made: list[Batch] = []
    above: int | None = None
    while len(made) < batches:
        batch, above = _seal_one(above)
        if batch is None:
            break
        made.append(batch)
        # Somebody else's copy of the log is what shows that the whole chain was replaced.
        log.info("audit trail sealed", head=canonical.head_text(batch), events=batch.count)
        if batch.caught_up:
            break
    return made


def trust(key_id: str, *, actor: Actor, reason: str = "") -> None:
    """Has our key vouch for all that a former key signed so far; sealing then goes on from there.

    Raises KeyMissing. Whether that key was ours is for a person to know: see `verify.whole`.
    """
    with transaction.atomic():
        last = head()
        up_to = last.number if last else 0
        if keys.vouch(key_id, up_to=up_to):
            trail.record(
                action="audit_key_trusted",
                actor=actor,
                subject=f"sealing key {key_id}",
                reason=reason,
                after={"up_to_seal": up_to, "vouched_by": keys.own().key_id},
            )


def head() -> Batch | None:
    """The last batch."""
    return Batch.objects.order_by("-number").first()


def backlog() -> Backlog:
    """What waits to be sealed; cheap enough for every scrape. Two queries."""
    below, last_sealed_at = _ends()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), min(at) FROM (SELECT e.at {_UNSEALED} ORDER BY e.id"  # noqa: S608
            " LIMIT %(most)s) waiting",
            {"settled": below, "most": COUNTED},
        )
        unsealed, oldest = cursor.fetchone()
    return Backlog(unsealed, oldest, last_sealed_at)


def settled() -> int:
    """The highest event id below which nothing is expected to appear any more.

    Counted back from the last time that sealing had caught up, not from now: while sealing stands
    still nothing gets settled.
    """
    return _ends()[0]


def _ends() -> tuple[int, datetime | None]:
    """(`settled`, when the last seal was made)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT highest_event FROM public.audit_batch WHERE sealed_at <= ("
            "  SELECT sealed_at FROM public.audit_batch WHERE caught_up ORDER BY number DESC LIMIT 1"
            " ) - make_interval(secs => %s) ORDER BY sealed_at DESC, number DESC LIMIT 1), 0),"
            " (SELECT sealed_at FROM public.audit_batch ORDER BY number DESC LIMIT 1)",
            [LATE.total_seconds()],
        )
        below, last = cursor.fetchone()
    return int(below), last


@transaction.atomic
def _seal_one(above: int | None) -> tuple[Batch | None, int | None]:
    """One batch, or None when nothing waits or somebody else is at it; and its last event.

    Without `above` every event that is not settled is looked at. A run tells the last event of the
    batch that it made before, so that a long backlog is not gone through again for each batch.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s), clock_timestamp()", [_LOCK])
        alone, now = cursor.fetchone()
    if not alone:
        return None, None
    key, last = keys.own(), head()
    _check_end(last, key)
    rows = _waiting(settled() if above is None else above)
    if len(rows) < SIZE and above is not None:
        rows = _waiting(settled())  # the end: with what was committed below meanwhile
    if not rows:
        return None, None
    hashed = [(int(row[0] or 0), canonical.event_hash(canonical.FORM, row)) for row in rows]
    batch = Batch(
        number=last.number + 1 if last else 1,
        form=canonical.FORM,
        previous_hash=last.hash if last else canonical.FIRST,
        count=len(hashed),
        highest_event=max(hashed[-1][0], last.highest_event if last else 0),
        caught_up=len(hashed) < SIZE,
        # Read before the events, and never back in time.
        sealed_at=max(now, last.sealed_at) if last else now,
        key_id=key.key_id,
    )
    batch.hash = canonical.batch_hash(batch, hashed)
    batch.signature = key.sign(canonical.signed_text(batch.form, batch.hash))
    keys.introduce(key)
    SealedEvent.objects.bulk_create(
        SealedEvent(event=event, batch=batch.number, position=position, hash=digest)
        for position, (event, digest) in enumerate(hashed)
    )
    batch.save(force_insert=True)
    return batch, hashed[-1][0]


def _check_end(last: Batch | None, key: keys.Own) -> None:
    """Whatever we build on, our signature covers: it must be ours, or of a key that we vouch for."""
    if last is None:
        return
    text = canonical.signed_text(last.form, last.hash)
    if keys.counts(last, keys.believed(), text):
        return
    if last.key_id == key.key_id:
        raise SealingRefused(
            f"Batch {last.number} carries our key's id and not its signature: somebody changed it. "
            "Run `manage.py audit verify`, and restore the trail from a backup."
        )
    raise SealingRefused(
        f"Batch {last.number} was signed by key {last.key_id}, ours is {key.key_id}. If "
        "PULSECLOUD_ENCRYPTION_KEY was replaced on purpose, check the trail with `manage.py audit "
        f"verify --trust {last.key_id} --head …`, then `manage.py audit trust {last.key_id}`."
    )


def _waiting(above: int) -> list[tuple[str | None, ...]]:
    """The next events to seal, by id, as their columns' texts."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {canonical.columns(canonical.FORM, 'e')} {_UNSEALED}"
            " ORDER BY e.id LIMIT %(most)s",
            {"settled": above, "most": SIZE},
        )
        return list(cursor.fetchall())
