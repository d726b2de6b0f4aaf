"""Who is connected, and which frame goes where. No Django, no Channels, no metrics library.

    app ─┐ deliver(): waits its turn, then for the      ┌─ Instance (one socket)
    app ─┼─ instance's socket; a flooding app waits ──▶ │    channels: {id: Channel}
    app ─┘ longest, because it always has more to send  └─ offer(): never waits; written at once or
     ▲                                                     queued for that one app, within bounds
     └──────────────────────────────────────────────────────┘

Reading from an instance never waits for anybody, so one stalled phone cannot delay its siblings
(F10, F39). A frame is never dropped from an open channel: a sealed stream with a hole is worthless
(F43), so an app whose queue is full is closed. Frames pass as they are; DATA is never looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Protocol

from relay.server.counters import Counters
from relay.wire.frames import (
    MAX_CHANNEL,
    PONG,
    ChannelClose,
    ConnectAck,
    Error,
    ErrorCode,
    FrameError,
    FrameType,
    message,
    parse,
    peek,
)

MIB = 1024 * 1024
# An instance handles at most 64 requests at a time and a frame has at most 64 KiB, so a phone that
# reads at all never has more than 64 × 64 KiB waiting for it.
APP_QUEUE = 4 * MIB
# All queues together; above it an app keeps only its fair share, 4 frames of full size.
RELAY_QUEUE = 256 * MIB
FAIR_SHARE = 256 * 1024
FRAME_COST = 64  # what a queued frame occupies beside its bytes: object header and queue slot

ALIVE = 30.0  # seconds: heard from within them, a connection is not taken from by a stranger
TAKEOVERS = 3  # of one id within TAKEOVER_WINDOW; then the twins stop throwing each other out
TAKEOVER_WINDOW = 60.0
REFUSED_TOKEN = "invalid auth token"  # noqa: S105  # the instance's words (relay-protocol section 9)


class LineLost(ConnectionError):
    """The connection has ended, or is about to."""


class Line(Protocol):
    """One WebSocket, as the switchboard needs it."""

    heard: float  # event loop's time of the last byte from the peer
    resumed: Callable[[], None] | None  # called when write() would succeed again

    def write(self, message: bytes, /) -> bool:
        """Sends at once; False when the peer does not take it yet. Raises LineLost."""

    async def writable_again(self) -> None:
        """Waits until write() would not say False."""

    def finish(self, code: int = 1000) -> None:
        """Ends it politely behind what was written; cuts it when the peer takes too long."""

    def finish_soon(self, code: int = 1000) -> None:
        """finish() after the peer had a moment to take what is still queued for it."""

    def abort(self) -> None:
        """Cuts it."""


class State(Enum):
    OPENING = auto()  # the instance has not answered CHANNEL_OPEN yet
    OPEN = auto()
    ENDED = auto()


class Channel:
    """One app at one instance. `answer` resolves to None when the instance accepts it, otherwise to
    the code that the app is told."""

    __slots__ = (
        "address",
        "answer",
        "board",
        "id",
        "instance",
        "line",
        "queue",
        "queued",
        "state",
        "told",
    )

    def __init__(
        self, board: Switchboard, instance: Instance, number: int, line: Line, address: str
    ) -> None:
        self.board = board
        self.instance = instance
        self.id = number
        self.line = line
        self.address = address
        self.state = State.OPENING
        self.told = False  # whether the instance got CHANNEL_OPEN and thinks that this is open
        self.answer: asyncio.Future[ErrorCode | None] = asyncio.get_running_loop().create_future()
        self.queue: deque[bytes] = deque()
        self.queued = 0

    def offer(self, frame: bytes) -> None:
        """Sends to the app, now or when it reads again."""
        if not self.queue:
            try:
                if self.line.write(frame):
                    return
            except LineLost:
                return  # whoever serves the app notices by itself
            self.line.resumed = self._flush
        cost = len(frame) + FRAME_COST
        self.queue.append(frame)
        self.queued += cost
        self.board.queued += cost
        if self.queued > APP_QUEUE or (
            self.queued > FAIR_SHARE and self.board.queued > RELAY_QUEUE
        ):
            self.board.counters.slow_apps += 1
            self._empty()
            self.line.abort()

    def settle(self, code: ErrorCode | None) -> None:
        if not self.answer.done():
            self.answer.set_result(code)

    def end(self, reason: str) -> None:
        """Tells an open channel's app that it is over and closes its socket, after what is queued.
        An app that still waits for its channel gets an answer instead."""
        if self.state is State.OPEN:
            self.state = State.ENDED
            self.offer(message(ChannelClose(self.id, reason)))
            if self.queue:
                self.line.finish_soon()
            else:
                self.line.finish()

    def drop(self) -> None:
        """The app has gone."""
        self.state = State.ENDED
        self._empty()
        self.line.resumed = None

    def _flush(self) -> None:
        try:
            while self.queue and self.line.write(self.queue[0]):
                cost = len(self.queue.popleft()) + FRAME_COST
                self.queued -= cost
                self.board.queued -= cost
        except LineLost:
            return
        if not self.queue and self.state is State.ENDED:
            self.line.finish()

    def _empty(self) -> None:
        self.board.queued -= self.queued
        self.queue.clear()
        self.queued = 0


class Instance:
    """One registered connection."""

    def __init__(self, instance_id: str, line: Line, *, identity: str) -> None:
        self.id = instance_id
        self.line = line
        self.identity = identity
        self.channels: dict[int, Channel] = {}  # opening, open, or still to be closed over there
        self.next_channel = 1
        self._turn = asyncio.Lock()  # first come, first served
        self._waiting = 0

    async def deliver(self, frame: bytes) -> None:
        """Sends to the instance; waits while others are before us and while it does not read.
        Raises LineLost."""
        if not self._waiting and self.line.write(frame):
            return
        self._waiting += 1
        try:
            async with self._turn:
                while not self.line.write(frame):
                    await self.line.writable_again()
        finally:
            self._waiting -= 1


class Switchboard:
    def __init__(self, counters: Counters, *, max_channels: int, alive: float = ALIVE) -> None:
        """`alive`: seconds; longer than a ping interval."""
        self.counters = counters
        self.max_channels = max_channels
        self.alive = alive
        self.instances: dict[str, Instance] = {}
        self.queued = 0  # bytes waiting for apps, all together
        self._takeovers: dict[str, deque[float]] = {}

    # --- instances ---

    def may_register(self, instance_id: str, identity: str, now: float) -> bool:
        """Whether a fresh registration may replace the live connection of the same id, if any
        (relay-protocol section 8). `now` is the event loop's time.

        The same identity key is the same installation coming back, unless it came back three times
        within a minute: then two clones are at it, and the one that is alive stays."""
        live = self.instances.get(instance_id)
        if live is None or now - live.line.heard > self.alive:
            return True
        same = bool(identity) and identity == live.identity
        return same and len(self._recent_takeovers(instance_id)) < TAKEOVERS

    def register(self, instance: Instance) -> None:
        """From now on this connection is the instance; an older one is put out."""
        old = self.instances.pop(instance.id, None)
        self.instances[instance.id] = instance
        if old is None:
            return
        self.counters.takeovers += 1
        self._takeovers.setdefault(instance.id, deque(maxlen=TAKEOVERS)).append(time.monotonic())
        self._end_channels(old)
        error = Error(ErrorCode.DUPLICATE_INSTANCE, "this instance connected again")
        with contextlib.suppress(LineLost):
            old.line.write(message(error))
        old.line.finish()  # an ERROR alone would leave it connected

    def remove(self, instance: Instance) -> None:
        """The connection has ended, or is to. Its late end leaves a successor alone."""
        if self.instances.get(instance.id) is instance:
            del self.instances[instance.id]
        self._end_channels(instance)

    def evict(self, instance: Instance) -> None:
        """Closes a live connection with 1000 and no ERROR: it comes back in about 5 s."""
        self.remove(instance)
        instance.line.finish()

    def forget_old_takeovers(self) -> None:
        for instance_id in list(self._takeovers):
            if not self._recent_takeovers(instance_id):
                del self._takeovers[instance_id]

    def _recent_takeovers(self, instance_id: str) -> deque[float]:
        times = self._takeovers.get(instance_id, deque())
        while times and times[0] <= time.monotonic() - TAKEOVER_WINDOW:
            times.popleft()
        return times

    def _end_channels(self, instance: Instance) -> None:
        for channel in instance.channels.values():
            channel.settle(ErrorCode.INSTANCE_NOT_FOUND)
            channel.end("instance disconnected")
        instance.channels.clear()

    # --- apps ---

    def open(self, instance: Instance, line: Line, *, address: str) -> Channel | ErrorCode:
        """A new channel that waits for the instance's answer, or the code of the refusal.

        Channels that wait count as well, and those of one address may be half of the limit at most:
        without a token nobody can use up an instance's channels from one place (F52)."""
        if len(instance.channels) >= self.max_channels:
            return ErrorCode.CHANNEL_LIMIT_REACHED
        waiting = sum(
            c.state is State.OPENING and c.address == address for c in instance.channels.values()
        )
        if waiting >= max(1, self.max_channels // 2):
            return ErrorCode.RATE_LIMITED
        if instance.next_channel > MAX_CHANNEL:  # ids are never used twice on a connection
            self.evict(instance)
            return ErrorCode.INSTANCE_NOT_FOUND
        channel = Channel(self, instance, instance.next_channel, line, address)
        instance.next_channel += 1
        instance.channels[channel.id] = channel
        return channel

    def free(self, channel: Channel) -> None:
        """Gives the channel's place to others: the instance knows that it is over, or is gone."""
        channel.instance.channels.pop(channel.id, None)

    def sessions(self) -> int:
        """App sessions that an instance accepted."""
        return sum(
            c.state is State.OPEN for i in self.instances.values() for c in i.channels.values()
        )

    def channels(self) -> Iterator[Channel]:
        for instance in list(self.instances.values()):
            yield from list(instance.channels.values())

    # --- frames ---

    def from_instance(self, instance: Instance, frame: bytes) -> None:
        """Takes any message of a registered instance. Never waits, never raises."""
        try:
            kind, number = peek(frame)
        except FrameError:  # the connection stays (relay-protocol section 2)
            self.counters.malformed_frames += 1
            return
        channel = instance.channels.get(number)
        if kind is FrameType.DATA or kind is FrameType.KEY_EXCHANGE:
            if channel is None or channel.state is not State.OPEN:
                self.counters.dropped_frames += 1
                return
            self.counters.frames_to_apps += 1
            self.counters.bytes_to_apps += len(frame)
            channel.offer(frame)
        elif kind is FrameType.PING:
            with contextlib.suppress(LineLost):
                instance.line.write(PONG)  # not at all rather than late
        elif kind is FrameType.PUSH_NOTIFICATION:
            self.counters.push_frames += 1
        elif channel is None:
            self.counters.dropped_frames += 1
        elif kind is FrameType.CHANNEL_OPEN:
            self._accepted(channel)
        elif kind is FrameType.CHANNEL_CLOSE:
            self._closed(channel, frame)

    def _accepted(self, channel: Channel) -> None:
        if channel.state is State.OPENING and channel.told and not channel.answer.done():
            channel.state = State.OPEN
            # Here and not where the app is served: nothing may reach the app before it.
            channel.offer(message(ConnectAck(channel.id, channel.instance.id)))
            channel.settle(None)

    def _closed(self, channel: Channel, frame: bytes) -> None:
        try:
            reason = parse(ChannelClose, frame[6:]).reason
        except FrameError:
            reason = ""
        channel.told = False
        self.free(channel)
        # An app takes AUTH_FAILED as "unpaired" and deletes its pairing: it is said only when the
        # instance refused the token, never for trouble of the instance's own.
        refused = reason.strip() == REFUSED_TOKEN
        channel.settle(ErrorCode.AUTH_FAILED if refused else ErrorCode.INTERNAL_ERROR)
        channel.end(reason)
