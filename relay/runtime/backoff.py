"""How long to wait before the next try."""

from __future__ import annotations

import random

JITTER = 0.1  # of the wait, either way: so that a relay's restart does not bring all back at once


class Backoff:
    """5, 10, 20, 40, 80, 160, 300 s, each ±10 %, capped before the jitter (relay-protocol 6.3)."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        wait: float = min(self._first * 2 ** min(self._failures, 30), self._most)
        self._failures += 1
        return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    def forget(self) -> None:
        """A success: the next failure waits the first step again."""
        self._failures = 0
