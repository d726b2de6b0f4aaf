"""Shares what `web` can do between organisations (design section 6)."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class Gate:
    """At most `total` calls at a time; whoever has the fewest running goes first.

    One organisation alone may use three quarters of the places: the last quarter is for those who
    come while it is busy, so that they need not wait for one of its calls to end.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._each = max(1, total - total // 4)
        self._running: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, organisation: UUID) -> AsyncIterator[None]:
        """Waits for a place and gives it back afterwards."""
        await self._take(organisation)
        try:
            yield
        finally:
            self._give_back(organisation)

    async def _take(self, organisation: UUID) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organisation, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(organisation)  # it was our turn just as we were told to stop
            else:
                self._forget(organisation, turn)
            raise

    def _hand_out(self) -> None:
        while self._free:
            able = [who for who in self._waiting if self._running[who] < self._each]
            if not able:
                return
            # min() keeps the first of equals, and a dict keeps the order of arrival.
            who = min(able, key=lambda one: self._running[one])
            turn = self._waiting[who][0]
            self._forget(who, turn)
            if turn.done():
                continue  # cancelled, and its caller has not heard of it yet
            self._free -= 1
            self._running[who] += 1
            turn.set_result(None)

    def _forget(self, organisation: UUID, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(organisation, deque())
        if turn in queue:
            queue.remove(turn)
            del self._waiting[organisation]
            if queue:
                self._waiting[organisation] = queue  # to the end of the line

    def _give_back(self, organisation: UUID) -> None:
        self._free += 1
        self._running[organisation] -= 1
        if not self._running[organisation]:
            del self._running[organisation]
        self._hand_out()


class Allowance:
    """At most `total` at a time, at most a quarter of them for one; who comes too late is refused.

    For event streams: they live for minutes, so waiting for one to end would be no answer.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._each = max(1, total // 4)
        self._running: Counter[UUID] = Counter()

    def take(self, organisation: UUID) -> bool:
        if not self._free or self._running[organisation] >= self._each:
            return False
        self._free -= 1
        self._running[organisation] += 1
        return True

    def give_back(self, organisation: UUID) -> None:
        self._free += 1
        self._running[organisation] -= 1
        if not self._running[organisation]:
            del self._running[organisation]
