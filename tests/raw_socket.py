"""Peers that send whatever a test wants, frame by frame, and tell exactly what came back."""

from __future__ import annotations

import asyncio
from typing import Self

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from relay.wire.frames import (
    CONTROLS,
    MAX_MESSAGE,
    AnyControl,
    Connect,
    ConnectAck,
    Control,
    Frame,
    FrameType,
    Register,
    RegisterAck,
    decode,
    encode,
    message,
    parse,
)


class RawSocket:
    """One WebSocket. Everything that waits gives up after `seconds` with TimeoutError."""

    def __init__(self, socket: Connection) -> None:
        self.socket = socket

    @classmethod
    async def open(cls, url: str, *, origin: str | None = None, seconds: float = 5.0) -> Self:
        """A handshake as instances and apps make it: no subprotocol, no extension, no Origin unless
        one is given. Raises websockets' InvalidStatus when it is refused."""
        return cls(
            await connect(
                url,
                compression=None,
                max_size=MAX_MESSAGE,
                origin=Origin(origin) if origin else None,
                proxy=None,
                ping_interval=None,
                open_timeout=seconds,
                close_timeout=1,
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def send(self, what: Control | bytes | str) -> None:
        """A control payload becomes its frame; bytes go out as they are; text as a text message."""
        await self.socket.send(what if isinstance(what, bytes | str) else message(what))

    async def send_frame(self, kind: FrameType, channel: int, payload: bytes = b"") -> None:
        await self.send(encode(kind, channel, payload))

    async def frame(self, seconds: float = 5.0) -> Frame:
        """The next frame, whatever it is. Raises ConnectionClosed."""
        async with asyncio.timeout(seconds):
            raw = await self.socket.recv()
        assert isinstance(raw, bytes), f"a text message came: {raw!r}"
        return decode(raw)

    async def expect(self, kind: type[AnyControl], seconds: float = 5.0) -> AnyControl:
        """The next frame, which must be this control frame; its payload."""
        frame = await self.frame(seconds)
        assert frame.type is CONTROLS[kind], f"expected {CONTROLS[kind].name}, got {frame}"
        return parse(kind, frame.payload)

    async def expect_type(self, kind: FrameType, seconds: float = 5.0) -> Frame:
        frame = await self.frame(seconds)
        assert frame.type is kind, f"expected {kind.name}, got {frame}"
        return frame

    async def silent(self, seconds: float) -> bool:
        """Whether nothing at all comes for so long."""
        try:
            await self.frame(seconds)
        except TimeoutError:
            return True
        return False

    async def closed(self, seconds: float = 5.0) -> int | None:
        """Reads on until the other side ends the connection: its close code, None without one."""
        async with asyncio.timeout(seconds):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd else None

    def vanish(self) -> None:
        """Ends the TCP connection with no close frame."""
        self.socket.transport.abort()

    def stop_reading(self) -> None:
        """Leaves everything in the kernel's buffers; pings are not answered either."""
        self.socket.transport.pause_reading()

    def read_again(self) -> None:
        self.socket.transport.resume_reading()


async def raw_instance(url: str, register: Register) -> tuple[RawSocket, RegisterAck]:
    """A registered instance that does nothing by itself."""
    socket = await RawSocket.open(url)
    await socket.send(register)
    return socket, await socket.expect(RegisterAck)


async def raw_app(url: str, instance_id: str, auth_token: str) -> tuple[RawSocket, int]:
    """A connected app and its channel."""
    socket = await RawSocket.open(url)
    await socket.send(Connect(instance_id, auth_token))
    return socket, (await socket.expect(ConnectAck)).channel_id
