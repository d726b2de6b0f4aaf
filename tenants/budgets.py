"""Request limits of organisations, credentials and addresses, shared by all processes.

The store is the counter of `tenants.limits` in PostgreSQL. One row for a whole organisation would
be written by every request, so a process leases permits in batches and spends them from memory:
the first batch of a window is a hundredth of the limit, each further one twice as large, up to a
twentieth.

What this costs in exactness: never is more admitted than the limit, for a permit is counted before
it is spent and dies with its window; but permits that one process leased and did not spend are lost
to the others, a twentieth of the limit for each process at most. `remaining` is as fresh as the
last lease. Who is refused is refused from memory until a batch can have come free.

A store that cannot be read admits nobody: DatabaseError, which door and middleware answer with 503.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import connection

from tenants import limits
from tenants.models import LimitWindow

ORGANISATION: Final = "organisation"
CREDENTIAL: Final = "credential"
ADDRESS: Final = "address"
WRITES: Final = "address-writes"

WINDOW = 60  # seconds
MOST: Final = 20_000  # counters kept in memory; beyond it those whose window ended are dropped

# One statement, as in `tenants.limits`, for `n` permits. What it says: whether it gave them, what
# it saw of this window, the weight of the last one, and the seconds until this one ends. A counter
# need not survive a crash of the database, so nobody waits for the disk.
_TAKE = """
WITH quick AS (SELECT set_config('synchronous_commit', CASE WHEN %(alone)s THEN 'off'
                                 ELSE current_setting('synchronous_commit') END, true)),
     now AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS t FROM quick),
     slot AS (SELECT floor(t / %(seconds)s) AS n, t / %(seconds)s - floor(t / %(seconds)s) AS gone
              FROM now),
     past AS (SELECT coalesce(sum(w.count), 0) * (1 - max(slot.gone)) AS weight
              FROM slot LEFT JOIN public.tenants_limitwindow w
                ON w.key = %(key)s AND w."window" = to_timestamp((slot.n - 1) * %(seconds)s)),
     given AS (INSERT INTO public.tenants_limitwindow AS w (key, "window", count)
               SELECT %(key)s, to_timestamp(slot.n * %(seconds)s), %(n)s FROM slot, past
               WHERE past.weight + %(n)s <= %(limit)s
               ON CONFLICT (key, "window") DO UPDATE SET count = w.count + %(n)s
               WHERE w.count + %(n)s + (SELECT weight FROM past) <= %(limit)s
               RETURNING count)
SELECT (SELECT count FROM given),
       coalesce((SELECT w.count FROM public.tenants_limitwindow w, slot
                 WHERE w.key = %(key)s AND w."window" = to_timestamp(slot.n * %(seconds)s)), 0),
       past.weight, (1 - slot.gone) * %(seconds)s
FROM past, slot
"""

# What is there of both windows, without taking anything.
_SEE = """
WITH now AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS t),
     slot AS (SELECT floor(t / %(seconds)s) AS n, t / %(seconds)s - floor(t / %(seconds)s) AS gone
              FROM now)
SELECT coalesce(sum(w.count) FILTER (WHERE w."window" = to_timestamp(slot.n * %(seconds)s)), 0),
       coalesce(sum(w.count) FILTER (WHERE w."window" < to_timestamp(slot.n * %(seconds)s)), 0)
           * (1 - max(slot.gone)),
       (1 - max(slot.gone)) * %(seconds)s
FROM slot LEFT JOIN public.tenants_limitwindow w
  ON w.key = %(key)s AND w."window" >= to_timestamp((slot.n - 1) * %(seconds)s)
"""


@dataclass(frozen=True)
class Verdict:
    """Whether one request may pass, and what to tell its caller.

    `remaining` counts requests, `reset` seconds until there are certainly permits again.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: int


@dataclass
class _Counter:
    """What this process knows of one budget. Times are `time.monotonic()`."""

    limit: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    permits: int = 0
    room: int = 0  # what the store had left after the last lease
    batch: int = 1
    ends: float = 0.0  # end of the window that the permits belong to
    closed_until: float = 0.0  # nothing to be had before


_counters: dict[tuple[str, str], _Counter] = {}
_guard = threading.Lock()


def spend(scope: str, subject: str, *, limit: int, seconds: int | None = None) -> Verdict:
    """Takes one request of `subject` out of its budget of `limit` in any `seconds` (WINDOW).

    Raises DatabaseError when the store cannot be read. Call it outside a transaction: inside one
    the count is rolled back with it, and other processes wait for it.
    """
    counter = _counter(scope, subject, limit)
    with counter.lock:
        now = time.monotonic()
        if now >= counter.ends:
            counter.permits, counter.batch = 0, max(1, limit // 100)
        if counter.permits == 0 and now >= counter.closed_until:
            _lease(counter, limits.key_of(scope, subject), seconds or WINDOW)
        reset = max(1, math.ceil(counter.ends - now))
        if counter.permits == 0:
            return Verdict(False, limit, 0, reset)
        counter.permits -= 1
        return Verdict(True, limit, counter.room + counter.permits, reset)


def look(scope: str, subject: str, *, limit: int, seconds: int | None = None) -> Verdict:
    """What `spend` would say, without taking a request out of the budget.

    Permits that processes leased and did not spend yet count as taken, this process's own excepted.
    """
    window = seconds or WINDOW
    with _guard:
        counter = _counters.get((scope, subject))
    held = counter.permits if counter is not None and time.monotonic() < counter.ends else 0
    values: dict[str, str | int] = {"key": limits.key_of(scope, subject), "seconds": window}
    with connection.cursor() as cursor:
        cursor.execute(_SEE, values)
        seen, weight, left = cursor.fetchone()
    room = max(0, math.floor(limit - float(weight)) - int(seen)) + held
    return Verdict(room > 0, limit, room, max(1, math.ceil(float(left))))


def pause(seconds: float = WINDOW) -> float:
    """Seconds for which who was refused is refused from memory.

    In so much of the window a thousandth of the limit runs out of it. Longer ones would let an
    organisation at its limit in by bursts, which cost its neighbours more than the same requests
    one after the other.
    """
    return max(0.05, seconds / 1000)


def forget_organisation(organisation_id: UUID) -> None:
    """Drops what is counted of an organisation; its id is never used again."""
    subject = str(organisation_id)
    with _guard:
        _counters.pop((ORGANISATION, subject), None)
    LimitWindow.objects.filter(key=limits.key_of(ORGANISATION, subject)).delete()


def forget_all() -> None:
    """Drops all leases of this process, as the end of their window would."""
    with _guard:
        _counters.clear()


def _counter(scope: str, subject: str, limit: int) -> _Counter:
    with _guard:
        counter = _counters.get((scope, subject))
        if counter is None or counter.limit != limit:  # the plan changed: ask anew
            if len(_counters) >= MOST:
                _prune()
            counter = _counters[scope, subject] = _Counter(limit)
        return counter


def _prune() -> None:
    now = time.monotonic()
    for key in [key for key, counter in _counters.items() if counter.ends <= now]:
        del _counters[key]
    if len(_counters) >= MOST:
        _counters.clear()  # their permits are lost, nothing else


def _lease(counter: _Counter, key: str, seconds: int) -> None:
    limit, wanted = counter.limit, counter.batch
    while True:
        asked = time.monotonic()
        given, seen, weight, left = _take(key, wanted, limit, seconds)
        counter.ends = asked + left
        if given is not None:
            counter.permits = wanted
            counter.room = max(0, math.floor(limit - weight) - given)
            counter.batch = min(max(1, limit // 20), counter.batch * 2)
            return
        room = math.floor(limit - weight) - seen
        if room < 1:
            break
        wanted = max(1, min(room, wanted // 2))
        counter.batch = 1
    counter.closed_until = min(counter.ends, asked + pause(seconds))
    counter.room = 0


def _take(key: str, permits: int, limit: int, seconds: int) -> tuple[int | None, int, float, float]:
    values: dict[str, str | int | bool] = {
        "key": key,
        "n": permits,
        "limit": limit,
        "seconds": seconds,
        "alone": not connection.in_atomic_block,  # else the setting is another's business
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        given, seen, weight, left = cursor.fetchone()
    return given, int(seen), float(weight), float(left)
