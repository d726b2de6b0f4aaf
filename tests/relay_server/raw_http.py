"""HTTP and WebSocket handshakes byte by byte."""

from __future__ import annotations

import asyncio
import base64
import os

from tests.relay_server.process import Relay


def handshake(path: str = "/ws/app", *, extra: bytes = b"", version: bytes = b"13") -> bytes:
    key = base64.b64encode(os.urandom(16))
    return (
        b"GET %s HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: %s\r\nSec-WebSocket-Key: %s\r\n%s\r\n"
        % (path.encode(), version, key, extra)
    )


def masked(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """One WebSocket frame as a client sends it, with the all-zero mask."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += bytes([bit | 126]) + len(payload).to_bytes(2)
    return head + (bytes(4) if mask else b"") + payload


class RawHttp:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, relay: Relay) -> RawHttp:
        return cls(*await asyncio.open_connection("127.0.0.1", relay.port))

    async def __aenter__(self) -> RawHttp:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> str:
        """Status line and headers of the answer."""
        async with asyncio.timeout(5):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def until_end(self, seconds: float = 5.0) -> bytes:
        """Everything until the other side ends the connection."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


async def status(relay: Relay, request: bytes) -> int:
    async with await RawHttp.open(relay) as http:
        http.send(request)
        return int((await http.head()).split(" ", 2)[1])
