"""A reference instance: an asyncio client that behaves towards a relay as relay-protocol sections
6.3 and 9 to 13 say the published one does. Test equipment; it shares only `relay.wire` with the
product, so that a mistake in the built-in runtime cannot hide behind the same mistake here.

    async with ReferenceInstance(url, license_token=jwt, valid_tokens={"tok"}) as instance:
        await instance.registered()
        ...instance.instance_id, instance.frames_seen, instance.connections
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from relay.wire import identity as identities
from relay.wire.frames import (
    MAX_MESSAGE,
    PONG,
    ChannelClose,
    Error,
    ErrorCode,
    Frame,
    FrameError,
    FrameType,
    Register,
    RegisterAck,
    decode,
    message,
    parse,
)
from tests.reference_channels import RATE_WINDOW, Channel, Channels, Handler, say_where

SEND_QUEUE = 256  # frames; further ones are dropped silently
BACKOFF_STEPS = 7  # 5, 10, 20, 40, 80, 160, then 300 s, each ±10 %


@dataclass(frozen=True)
class Timing:
    """Delays and deadlines in seconds. The defaults are the published ones; `QUICK` shortens only
    the pauses between connections."""

    backoff: float = 5.0  # first step, doubled up to 60 times itself (300 s)
    licence_pause: float = 300.0  # LICENSE_* after REGISTER_ACK; no jitter
    dial: float = 15.0
    ack: float = 15.0
    ping: float = 25.0
    read_deadline: float = 60.0  # since the last message or pong; pings do not count
    write_deadline: float = 10.0
    rate_window: float = RATE_WINDOW


REAL = Timing()
QUICK = Timing(backoff=0.05, licence_pause=3.0)


class _Leave(Exception):
    """Ends a connection; `pause` is how long to wait before the next, None for a backoff step."""

    def __init__(self, why: str, *, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class ReferenceInstance:
    """Reconnects until it is left. What it saw is in the attributes:

    `frames_seen` every decodable frame of all connections, REGISTER_ACK included; `errors` every
    ERROR; `registers` every REGISTER it sent; `connections` upgraded sockets; `registrations`
    REGISTER_ACKs; `pauses` seconds waited before each further dial, jitter included; `ends` why each
    connection ended; `close_codes` of connections that the relay closed.
    """

    def __init__(
        self,
        url: str,
        *,
        license_token: str | Callable[[], str],
        identity: identities.Identity | str | None = "make",
        identity_pub_key: str | None = None,
        instance_hint: str = "",
        valid_tokens: Collection[str] | None = (),
        handler: Handler = say_where,
        timing: Timing = QUICK,
    ) -> None:
        """`identity`: "make" makes one; None has no private key to sign with. `identity_pub_key`
        overrides the one registered. `valid_tokens` None means no validator is there."""
        self.url = url
        self.license_token = license_token
        self.identity = identities.make() if isinstance(identity, str) else identity
        own = self.identity.public_key if self.identity else ""
        self.identity_pub_key = own if identity_pub_key is None else identity_pub_key
        self.instance_hint = instance_hint
        self.valid_tokens = valid_tokens
        self.handler = handler
        self.timing = timing
        self.instance_id = ""
        self.session_token = ""
        self.frames_seen: list[Frame] = []
        self.errors: list[Error] = []
        self.registers: list[Register] = []
        self.connections = 0
        self.registrations = 0
        self.pauses: list[float] = []
        self.ends: list[str] = []
        self.close_codes: list[int | None] = []
        self.dropped_frames = 0
        self._failures = 0
        self._socket: ClientConnection | None = None
        self._channels: Channels | None = None
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(SEND_QUEUE)
        self._acknowledged = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    # --- what a test does with it ---

    async def __aenter__(self) -> Self:
        self._life = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Leaves for good, without a close frame if the relay is slow to answer one."""
        if self._life:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life

    async def registered(self, seconds: float = 5.0) -> str:
        """Waits until the current connection is acknowledged; the instance id."""
        async with asyncio.timeout(seconds):
            await self._acknowledged.wait()
        return self.instance_id

    @property
    def is_registered(self) -> bool:
        return self._acknowledged.is_set()

    @property
    def channels(self) -> dict[int, Channel]:
        """Open channels of the current connection, by id."""
        return self._channels.open if self._channels else {}

    @property
    def requests_in_flight(self) -> int:
        return len(self._channels.work) if self._channels else 0

    def seen(self, kind: FrameType) -> list[Frame]:
        return [frame for frame in self.frames_seen if frame.type is kind]

    def send(self, raw: bytes) -> None:
        """Queues any message as it is."""
        try:
            self._outgoing.put_nowait(raw)
        except asyncio.QueueFull:
            self.dropped_frames += 1

    def close_channel(self, channel: int, reason: str = "") -> None:
        self.channels.pop(channel, None)
        self.send(message(ChannelClose(channel, reason)))

    def cut(self) -> None:
        """The network is gone: no close frame, at once. It dials again after a backoff step."""
        if self._socket:
            self._socket.transport.abort()

    def forget_session(self) -> None:
        """As a restarted instance: the next registration is a fresh one."""
        self.session_token = self.instance_id = ""

    # --- its life ---

    async def _run(self) -> None:
        while True:
            pause: float | None = None
            try:
                await self._connection()
            except _Leave as leave:
                self.ends.append(str(leave))
                pause = leave.pause
            except ConnectionClosed as closed:
                self.ends.append("closed")
                self.close_codes.append(closed.rcvd.code if closed.rcvd else None)
            except (OSError, TimeoutError, WebSocketException) as failed:
                self.ends.append(f"{type(failed).__name__}: {failed}")
            if pause is None:
                pause = self._next_backoff()
            self.pauses.append(pause)
            await asyncio.sleep(pause)

    def _next_backoff(self) -> float:
        step = min(self.timing.backoff * 2.0**self._failures, self.timing.backoff * 60)
        self._failures = min(self._failures + 1, BACKOFF_STEPS)
        return step * random.uniform(0.9, 1.1)

    async def _connection(self) -> None:
        async with connect(
            self.url,
            compression=None,
            max_size=MAX_MESSAGE,
            user_agent_header="Go-http-client/1.1",
            proxy=None,
            ping_interval=None,
            open_timeout=self.timing.dial,
            close_timeout=1,
        ) as socket:
            self._socket = socket
            self.connections += 1
            self._outgoing = asyncio.Queue(SEND_QUEUE)
            try:
                await self._register(socket)
                await self._serve(socket)
            finally:
                self._acknowledged.clear()
                self._socket = None

    async def _register(self, socket: ClientConnection) -> None:
        licence = (
            self.license_token if isinstance(self.license_token, str) else self.license_token()
        )
        resume = bool(self.session_token and self.instance_id)
        register = Register(
            license_token=licence.strip(),
            session_token=self.session_token if resume else "",
            instance_hint=self.instance_id if resume else self.instance_hint,
            client_version="6.3.0",
            identity_pub_key=self.identity_pub_key,
        )
        self.registers.append(register)
        await socket.send(message(register))
        async with asyncio.timeout(self.timing.ack):
            first = await socket.recv()
        try:
            frame = decode(first if isinstance(first, bytes) else first.encode())
            self.frames_seen.append(frame)
            if frame.type is FrameType.ERROR:
                return self._refused(parse(Error, frame.payload), resume=resume)
            if frame.type is not FrameType.REGISTER_ACK:
                raise _Leave(f"the first frame was {frame.type.name}")
            ack = parse(RegisterAck, frame.payload)
        except FrameError as wrong:
            raise _Leave(f"the first message was no frame: {wrong.code}") from None
        self.instance_id, self.session_token = ack.instance_id, ack.session_token
        self._failures = 0
        self.registrations += 1

    def _refused(self, error: Error, *, resume: bool) -> None:
        self.errors.append(error)
        if resume and error.code in (ErrorCode.AUTH_FAILED, ErrorCode.INSTANCE_NOT_FOUND):
            self.forget_session()
            raise _Leave(f"resume refused: {error.code}", pause=0)
        raise _Leave(f"registration refused: {error.code}")

    async def _serve(self, socket: ClientConnection) -> None:
        channels = self._channels = Channels(
            send=self.send,
            identity=self.identity,
            valid_tokens=self.valid_tokens,
            handler=self.handler,
            rate_window=self.timing.rate_window,
        )
        heard = _Heard()
        chores = [
            asyncio.create_task(self._write(socket)),
            asyncio.create_task(self._ping(socket, heard)),
            asyncio.create_task(self._watch(socket, heard)),
        ]
        self._acknowledged.set()
        try:
            while True:
                raw = await socket.recv()
                heard.now()
                self._take(channels, raw if isinstance(raw, bytes) else raw.encode())
        finally:
            channels.cancel()
            for chore in chores:
                chore.cancel()

    def _take(self, channels: Channels, raw: bytes) -> None:
        try:
            frame = decode(raw)
        except FrameError:
            return  # logged and skipped; the connection stays
        self.frames_seen.append(frame)
        if frame.type is FrameType.PING:
            self.send(PONG)
        elif frame.type is FrameType.DRAIN:
            raise _Leave("drained", pause=0)
        elif frame.type is FrameType.ERROR:
            with contextlib.suppress(FrameError):
                error = parse(Error, frame.payload)
                self.errors.append(error)
                if error.code in (ErrorCode.LICENSE_INVALID, ErrorCode.LICENSE_EXPIRED):
                    raise _Leave(f"thrown out: {error.code}", pause=self.timing.licence_pause)
        else:
            channels.take(frame)

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                raw = await self._outgoing.get()
                try:
                    async with asyncio.timeout(self.timing.write_deadline):
                        await socket.send(raw)
                except TimeoutError:
                    socket.transport.abort()

    async def _ping(self, socket: ClientConnection, heard: _Heard) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.timing.ping)
                asyncio.ensure_future(await socket.ping()).add_done_callback(heard.pong)

    async def _watch(self, socket: ClientConnection, heard: _Heard) -> None:
        while (silent := time.monotonic() - heard.at) < self.timing.read_deadline:
            await asyncio.sleep(self.timing.read_deadline - silent)
        socket.transport.abort()


class _Heard:
    """When the last message or pong came."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def now(self) -> None:
        self.at = time.monotonic()

    def pong(self, waiter: asyncio.Future[float]) -> None:
        if not waiter.cancelled() and waiter.exception() is None:
            self.now()
