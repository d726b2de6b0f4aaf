"""The built-in runtime between a relay and a web server that do what a test says.

The runtime is the real one, in the test's own event loop, with the real database; only the two
parties on its other sides are scripted. `stage.connection()` is the next connection it makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from websockets.asyncio.server import ServerConnection, serve

from relay.runtime import roster
from relay.runtime.process import Runtime
from relay.wire import proxy
from relay.wire.frames import (
    MAX_MESSAGE,
    ChannelOpen,
    FrameType,
    Register,
    RegisterAck,
)
from relay.wire.identity import verify
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel
from tenants.models import Organisation
from tests.raw_socket import RawSocket
from tests.waiting import until

Result = TypeVar("Result")


async def in_thread(work: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """ORM work from an async test, on a connection that is closed afterwards."""

    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def eventually(read: Callable[[], Result], seconds: float = 5.0) -> Result:
    """The first true value that `read` finds in the database."""
    return await in_thread(until, read, seconds)


class Peer(RawSocket):
    """The relay's side of one connection, after its REGISTER was read."""

    register: Register

    async def acknowledge(self, instance_id: str, session: str = "session-1") -> None:
        await self.send(RegisterAck(instance_id, session, int(time.time()) + 3600))

    async def open_channel(self, number: int, token: str) -> None:
        """Asks for a channel and sees it accepted."""
        await self.send(ChannelOpen(number, token))
        assert await self.expect(ChannelOpen) == ChannelOpen(number, token)

    async def ask_plainly(
        self, channel: int, *, seconds: float = 5.0, **asked: Any
    ) -> proxy.Response:
        """One request on a channel without keys, and its one answer."""
        await self.send_request(channel, **asked)
        return await self.response(channel, seconds=seconds)

    async def send_request(
        self, channel: int, *, method: str = "GET", path: str = "/api/x", **more: Any
    ) -> None:
        request = proxy.Request(more.pop("id", "r1"), method, path, **more)
        await self.send_frame(FrameType.DATA, channel, proxy.encode_request(request))

    async def response(self, channel: int, *, seconds: float = 5.0) -> proxy.Response:
        frame = await self.expect_type(FrameType.DATA, seconds)
        assert frame.channel == channel
        return proxy.decode_response(frame.payload)

    async def exchange_keys(self, channel: int, identity_key: str) -> SealedChannel:
        """The app's side of a key exchange, its signature checked."""
        mine = EphemeralKey()
        await self.send_frame(FrameType.KEY_EXCHANGE, channel, KeyExchange(mine.public).encode())
        frame = await self.expect_type(FrameType.KEY_EXCHANGE)
        theirs = KeyExchange.parse(frame.payload)
        assert frame.channel == channel
        assert verify(identity_key, ephemeral=theirs.public, signature=theirs.signature)
        return SealedChannel.of_app(mine.agree(theirs.public))


class Stage:
    """`url` is the scripted relay; connections wait in a queue until the test takes them."""

    def __init__(self) -> None:
        self.url = ""
        self.dials: list[float] = []
        self._waiting: asyncio.Queue[Peer] = asyncio.Queue()

    async def connection(self, seconds: float = 5.0) -> Peer:
        """The next connection of the runtime, with its REGISTER read and not answered."""
        async with asyncio.timeout(seconds):
            peer = await self._waiting.get()
        peer.register = await peer.expect(Register)
        return peer

    async def registered(self, instance_id: str, session: str = "session-1") -> Peer:
        """The next connection, acknowledged."""
        peer = await self.connection()
        await peer.acknowledge(instance_id, session)
        return peer

    async def no_connection(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.get()
        except TimeoutError:
            return True
        return False

    async def handle(self, socket: ServerConnection) -> None:
        self.dials.append(time.monotonic())
        await self._waiting.put(Peer(socket))
        await socket.wait_closed()


@asynccontextmanager
async def scripted_relay_stage() -> AsyncIterator[Stage]:
    stage = Stage()
    async with serve(
        stage.handle, "127.0.0.1", 0, compression=None, max_size=MAX_MESSAGE, close_timeout=0.2
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stage.url = f"ws://127.0.0.1:{port}/ws/instance"
        yield stage


_every = roster.served
_mine: list[set[UUID]] = []


def _served(organisation: UUID | None = None) -> dict[UUID, roster.Served]:
    return {k: v for k, v in _every(organisation).items() if any(k in only for only in _mine)}


@asynccontextmanager
async def running(settings: Any, *, only: set[UUID], **changes: Any) -> AsyncIterator[None]:
    """The runtime, for organisations in `only`: others of this database belong to other tests."""
    for name, value in changes.items():
        setattr(settings, name, value)
    _mine.append(only)
    roster.served = _served
    stop = asyncio.Event()
    task = asyncio.create_task(Runtime().run(stop))
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        stop.set()
        await task
        _mine.remove(only)
        if not _mine:
            roster.served = _every


def ids(*organisations: Organisation) -> set[UUID]:
    return {organisation.pk for organisation in organisations}
