"""What an instance connection has to say, in the order in which it was sealed.

A caller waits for room first, then seals and puts in one step without giving up control: so the
counters of a channel leave in order. (Upstream seals and queues in two steps and now and then
loses a reply to its own race; and it drops frames when its queue is full, where we wait.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

MAX_FRAMES = 256
MAX_BYTES = 1024 * 1024  # 16 frames of the largest size: 100 full queues are 100 MiB, never more


class Outbox:
    """Bounded queue with one writer."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._something = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def room(self) -> None:
        """Returns when something may be put. Seal and put before the next `await`."""
        while len(self._messages) >= MAX_FRAMES or self._bytes >= MAX_BYTES:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._wake_one()  # the room was ours to take; the next one gets it
                raise

    def put(self, message: bytes) -> None:
        self._messages.append(message)
        self._bytes += len(message)
        self._something.set()

    async def write(self, send: Callable[[bytes], Awaitable[None]], *, seconds: float) -> None:
        """Sends for ever. Raises TimeoutError when the peer does not take a message in time."""
        while True:
            while not self._messages:
                self._something.clear()
                await self._something.wait()
            message = self._messages.popleft()
            self._bytes -= len(message)
            self._wake_one()
            async with asyncio.timeout(seconds):
                await send(message)

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
