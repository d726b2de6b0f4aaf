"""One phone's channel on an instance connection (relay-protocol sections 5, 9, 11)."""

from __future__ import annotations

import asyncio
from collections import deque

from relay.wire.sealing import NONCE_SIZE, OVERHEAD, SealedChannel, SealingError

REQUESTS = 300  # per channel and sliding window, then 429
WINDOW = 60.0  # seconds


class Tampered(Exception):
    """A sealed message whose tag is wrong: somebody on the way changed or invented it (F44)."""


class Channel:
    """State of one channel. A CHANNEL_OPEN for the same id makes a new one: no key and no counter
    is ever carried over (F46)."""

    def __init__(self, number: int, token: str) -> None:
        self.number = number
        self.token = token
        self.is_open = True
        self.sealed: SealedChannel | None = None
        self.streams: set[asyncio.Task[None]] = set()
        self._requests: deque[float] = deque()

    def read(self, payload: bytes) -> bytes | None:
        """The plaintext of a DATA frame; None for one that is dropped without an answer.

        Before a key exchange DATA is plain; after it plain, repeated and reordered messages are
        dropped. Raises Tampered.
        """
        if self.sealed is None:
            return payload
        try:
            return self.sealed.open(payload)
        except SealingError as error:
            if error.code == "BAD_TAG" and _looks_sealed(payload):
                raise Tampered from None
            return None

    def seal(self, plaintext: bytes) -> bytes:
        """What goes into the DATA frame that is put on the wire next."""
        return plaintext if self.sealed is None else self.sealed.seal(plaintext)

    def admits(self, now: float) -> bool:
        """Counts a request; False when the channel made 300 within the last 60 s."""
        while self._requests and self._requests[0] <= now - WINDOW:
            self._requests.popleft()
        if len(self._requests) >= REQUESTS:
            return False
        self._requests.append(now)
        return True

    def close(self) -> None:
        """Nothing is said on it any more; its event streams end. Plain requests run on, and their
        answers are dropped (relay-protocol section 9)."""
        self.is_open = False
        for task in self.streams:
            task.cancel()


def _looks_sealed(payload: bytes) -> bool:
    """Bytes 8-11 of a nonce are zero; plain JSON has none there."""
    return len(payload) >= OVERHEAD and payload[8:NONCE_SIZE] == bytes(4)
