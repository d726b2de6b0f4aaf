"""Whose turn it is among the requests that a process has under way.

Requests of somebody who is at a limit wait until no others are under way and then go one at a time,
so that an organisation which takes all that it may costs the others little (bench.noisy_neighbour).
They wait for SECONDS at most, and at most half of a process's threads wait at all: nobody is starved,
and the threads are not used up by waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.conf import settings

SECONDS: Final = 0.1
MOST: Final = max(1, settings.WEB_THREADS // 2)

_changed = threading.Condition()
_under_way = 0
_waiting = 0


@contextmanager
def under_way() -> Iterator[None]:
    """Around a request."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def give_way(seconds: float = SECONDS) -> None:
    """Waits until no other request is under way; called by one that is."""
    global _under_way, _waiting
    with _changed:
        if _waiting >= MOST:
            return
        _waiting += 1
        _under_way -= 1
        _changed.wait_for(lambda: _under_way <= 0, seconds)
        _under_way += 1  # before another one that waits can look
        _waiting -= 1


def sleep(seconds: float) -> None:
    """Holds up the request that calls it, and nobody else; not at all when too many wait already."""
    global _waiting
    with _changed:
        if _waiting >= MOST:
            return
        _waiting += 1
    _count(-1)
    try:
        time.sleep(seconds)
    finally:
        with _changed:
            _waiting -= 1
        _count(1)


def _count(more: int) -> None:
    global _under_way
    with _changed:
        _under_way += more
        if _under_way <= 0:
            _changed.notify()
