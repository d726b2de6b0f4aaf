"""Dials the relay and registers (relay-protocol sections 1, 6)."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache

from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from relay.wire import frames
from relay.wire.frames import FrameError, FrameType, Register, RegisterAck

CLOSE_SECONDS = 1.0  # for the closing handshake; then the socket is cut


class Refused(Exception):
    """The relay answered the registration with an ERROR."""

    def __init__(self, error: frames.Error) -> None:
        super().__init__(shown(f"{error.code}: {error.message}"))
        self.code = error.code


class Unreachable(Exception):
    """No connection, no answer in time, or not a relay's answer; the text is for people."""


class _Dial(connect):
    """Upstream follows no redirects either: a credential goes only where it was meant to go."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def dial(register: Register) -> tuple[ClientConnection, RegisterAck]:
    """A registered connection. Raises Refused and Unreachable."""
    try:
        socket = await _Dial(
            settings.RELAY_SERVER,
            compression=None,
            proxy=None,
            max_size=frames.MAX_MESSAGE,
            open_timeout=settings.RUNTIME_ANSWER_TIMEOUT,
            close_timeout=CLOSE_SECONDS,
            ping_interval=settings.RUNTIME_PING_INTERVAL,
            # A pong that stays out this long after its ping means silence for the read time-out.
            ping_timeout=max(0.1, settings.RUNTIME_READ_TIMEOUT - settings.RUNTIME_PING_INTERVAL),
            user_agent_header=f"PulseCloud-Runtime/{settings.VERSION}",
            ssl=_tls(),
        )
    except (OSError, WebSocketException, TimeoutError, ValueError) as error:
        raise Unreachable(shown(f"the relay cannot be reached: {error}")) from None
    try:
        async with asyncio.timeout(settings.RUNTIME_ANSWER_TIMEOUT):
            await socket.send(frames.message(register))
            first = await socket.recv()
        return socket, _acknowledged(first)
    except TimeoutError:
        socket.transport.abort()
        raise Unreachable("the relay did not answer the registration in time") from None
    except WebSocketException as error:
        raise Unreachable(shown(f"the relay closed the connection: {error}")) from None
    except BaseException:
        socket.transport.abort()
        raise


async def hang_up(socket: ClientConnection) -> None:
    """Closes politely if the relay plays along, and at once if not."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close()
    finally:
        socket.transport.abort()


def shown(text: str) -> str:
    """Text from outside, fit for a log line and the status column."""
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def _acknowledged(message: str | bytes) -> RegisterAck:
    try:
        frame = frames.decode(message.encode() if isinstance(message, str) else message)
        if frame.type is FrameType.ERROR:
            raise Refused(frames.parse(frames.Error, frame.payload))
        if frame.type is not FrameType.REGISTER_ACK:
            raise Unreachable(f"the relay's first frame was {frame.type.name}")
        return frames.parse(RegisterAck, frame.payload)
    except FrameError as error:
        raise Unreachable(f"the relay's first frame cannot be read ({error.code})") from None


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _tls() -> ssl.SSLContext | None:
    """One set of root certificates for all connections: each costs half a MiB."""
    return _context() if settings.RELAY_SERVER.lower().startswith("wss:") else None
