"""Load on one relay: instances that echo, apps that each keep one request in flight.

Runs as a process of its own, so that its CPU time is told apart from the relay's, and prints one JSON
document. A hand-written client protocol on uvloop costs a few microseconds for a frame, far less
than any relay, so that the relay stays the slower side; the figures of both are printed to show it.

    python -m bench.relay_load --port 8001 --tokens a,b,c,d --apps 8 --size 256 --seconds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import uvloop

from relay.wire import frames
from relay.wire.frames import (
    ChannelOpen,
    Connect,
    ConnectAck,
    Frame,
    FrameType,
    Register,
    RegisterAck,
)

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A


def websocket_message(payload: bytes, first: int = BINARY) -> bytes:
    """One client message. The masking key is zero: the relay unmasks all the same, and the load
    generator does not spend its time on it."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    if size < 65536:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One WebSocket; `took` gets every binary message."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.took: Callable[[bytes], None] = self.inbox
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None
        self._buffer = b""
        self._upgraded = False
        self.ready = asyncio.Event()

    def inbox(self, message: bytes) -> None:
        self.arrived.put_nowait(message)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(HANDSHAKE.format(path=self.path).encode())

    def connection_lost(self, error: Exception | None) -> None:
        self.arrived.put_nowait(b"")

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._upgraded:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._buffer = head
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise SystemExit(f"the relay refused the handshake: {head!r}")
            self._upgraded = True
            self.ready.set()
        start, end = 0, len(data)
        while end - start >= 2:
            size, body = data[start + 1], start + 2
            if size == 126:
                size, body = int.from_bytes(data[body : body + 2], "big"), body + 2
            elif size == 127:
                size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
            if body + size > end:
                break
            first, payload, start = data[start], data[body : body + size], body + size
            if first == BINARY:
                self.took(payload)
            elif first == PING:
                self.transport.write(websocket_message(payload, PONG))
            elif first == CLOSE:
                raise SystemExit(f"the relay closed {self.path}: {payload!r}")
        self._buffer = data[start:]

    def send(self, message: bytes) -> None:
        self.transport.write(websocket_message(message))

    async def frame(self) -> Frame:
        message = await asyncio.wait_for(self.arrived.get(), 20)
        if not message:
            raise SystemExit(f"the relay closed {self.path}")
        return frames.decode(message)


async def dial(port: int, path: str) -> Socket:
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(path), "127.0.0.1", port)
    await asyncio.wait_for(socket.ready.wait(), 20)
    return socket


async def instance(port: int, token: str) -> str:
    """Registers an instance that accepts every channel and echoes every DATA; its id."""
    socket = await dial(port, "/ws/instance")
    socket.send(frames.message(Register(token)))
    ack = frames.parse(RegisterAck, (await socket.frame()).payload)
    data = bytes((frames.VERSION, FrameType.DATA))

    def took(message: bytes) -> None:
        if message[:2] == data:
            socket.send(message)
        elif frames.peek(message)[0] is FrameType.CHANNEL_OPEN:
            asked = frames.parse(ChannelOpen, message[frames.HEADER.size :])
            socket.send(frames.message(asked))

    socket.took = took
    return ack.instance_id


class App:
    """Sends its request again as soon as the right answer came."""

    def __init__(self, socket: Socket, channel: int, size: int) -> None:
        self.request = frames.encode(FrameType.DATA, channel, os.urandom(size))
        self.wire = websocket_message(self.request)
        self.write = socket.transport.write
        self.times: list[float] = []
        self.sent = 0.0
        socket.took = self.took

    def start(self) -> None:
        self.sent = time.perf_counter()
        self.write(self.wire)

    def took(self, message: bytes) -> None:
        now = time.perf_counter()
        if message != self.request:
            raise SystemExit(f"a wrong answer came: {message[:20]!r}")
        self.times.append(now - self.sent)
        self.sent = now
        self.write(self.wire)


async def app(port: int, instance_id: str, size: int) -> App:
    socket = await dial(port, "/ws/app")
    socket.send(frames.message(Connect(instance_id, "token")))
    frame = await socket.frame()
    if frame.type is not FrameType.CONNECT_ACK:
        raise SystemExit(f"the relay answered {frame}")
    return App(socket, frames.parse(ConnectAck, frame.payload).channel_id, size)


async def load(
    port: int, tokens: list[str], *, apps: int, size: int, seconds: float
) -> dict[str, Any]:
    ids = [await instance(port, token) for token in tokens]
    running = [await app(port, instance_id, size) for instance_id in ids for _ in range(apps)]
    for one in running:
        one.start()
    await asyncio.sleep(0.3)  # warm
    for one in running:
        one.times.clear()
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    times = sorted(t for one in running for t in one.times)
    if not all(one.times for one in running):
        raise SystemExit("an app got no answer at all")
    return {
        "round_trips_a_second": round(len(times) / elapsed, 1),
        "p50_ms": round(statistics.median(times) * 1000, 3),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 3),
        "generator_cpu": round(cpu / elapsed, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", required=True, help="one licence per instance, by commas")
    parser.add_argument("--apps", type=int, default=8, help="apps per instance")
    parser.add_argument("--size", type=int, default=256, help="payload bytes of each DATA")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    work = load(
        options.port,
        options.tokens.split(","),
        apps=options.apps,
        size=options.size,
        seconds=options.seconds,
    )
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
