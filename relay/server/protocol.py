"""uvicorn's HTTP and WebSocket protocols with the deadlines and bounds that they lack.

What stock uvicorn 0.54 does, seen in its source, and what is done about it here:

- an HTTP connection that never sends a whole request stays for ever: cut at a deadline (F36);
- so does a WebSocket upgrade that its parser refuses: answered with 400;
- `transport.close()` waits for a peer to take what is buffered; one that does not read stays for
  ever, also after a ping timeout: cut after LINGER;
- a pong is written for every ping, read or not: left out while the peer does not read (F11);
- a message too long is followed by a TCP reset that can overtake the close code: the rest is read
  and dropped for a moment first;
- a message may come in any number of fragments: bounded (F27).
"""

from __future__ import annotations

import asyncio
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request

from relay.server.counters import Counters
from relay.server.switchboard import LineLost

LINGER = 2.0  # seconds for a peer to take a close frame and answer it
LAST_WORDS = 5.0  # seconds for an app to read what was queued before it is closed
# A real instance sends 16 fragments at most (65,542 bytes through its 4 KiB write buffer).
MAX_FRAGMENTS = 4096
MAX_REQUEST = 16 * 1024  # request line and headers

EXTENSION = "pulsecloud.line"  # scope["extensions"][…]: the Line of this WebSocket


class Config(uvicorn.Config):
    """With what the protocols below need to know."""

    handshake_timeout: float = 15.0
    counters: Counters


class HttpProtocol(H11Protocol):
    """A request has `handshake_timeout` from connect to answer; there is no second one."""

    config: Config

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.call_later(self.config.handshake_timeout, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        if any(smuggles(value) for _, value in event.headers):
            self.send_400_response("Invalid HTTP request received.")
            return
        self.deadline.cancel()  # the WebSocket protocol has its own
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketProtocol) and not protocol.handshake_initiated:
            self.send_400_response("Invalid HTTP request received.")


def smuggles(value: bytes) -> bool:
    """Whether a header value holds what some software takes for a line end: \\x0b \\x0c \\x1c-\\x1e
    \\x85 and other control characters (RFC 9110 section 5.5, F28)."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return any((c < " " and c != "\t") or "\x7f" <= c <= "\x9f" for c in text)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Is the `Line` of the switchboard; ASGI gets it as scope["extensions"][EXTENSION]."""

    config: Config
    resumed: Callable[[], None] | None = None
    heard = 0.0
    failed = False

    # --- Line ---

    def write(self, message: bytes, /) -> bool:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise LineLost
        if not self.writable.is_set():
            return False
        try:
            self.conn.send_binary(message)
        except InvalidState:
            raise LineLost from None
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    async def writable_again(self) -> None:
        await self.writable.wait()

    def finish(self, code: int = 1000) -> None:
        if self.close_sent or self.disconnected:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.stop_keepalive()
        self.close_timer = self.loop.call_later(LINGER, self.transport.abort)
        self.close_sent = True
        if self.transport.is_closing():
            return
        try:
            self.conn.send_close(code)
        except InvalidState:  # the peer's own close frame came first
            self.transport.close()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._read_on()

    def finish_soon(self, code: int = 1000) -> None:
        self.loop.call_later(LAST_WORDS, self.finish, code)

    def abort(self) -> None:
        self.transport.abort()

    # --- uvicorn's protocol ---

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.heard = self.loop.time()
        self.deadline = self.loop.call_later(self.config.handshake_timeout, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline.cancel()
        self.resumed = None
        super().connection_lost(exc)

    def _too_late(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        if not self.failed:
            super().data_received(data)

    def eof_received(self) -> None:
        self._cut_later()  # asyncio closes the transport now, but waits for the peer to read

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.resumed is not None:
            self.resumed()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions = cast(dict[str, Any], self.scope["extensions"])
            extensions[EXTENSION] = self
        else:
            self._cut_later()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":  # refused whatever it says, so it is not decoded
            self.frames = [b""]
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._cut_later()

    def keepalive_timeout(self) -> None:
        self.config.counters.silent_peers += 1
        super().keepalive_timeout()
        self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Says why (1002, 1007, 1009) and leaves the peer a moment to hear it."""
        self.failed = True
        self.stop_keepalive()
        sent = self.conn.close_sent
        code = sent.code if sent is not None else 1006
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._read_on()
        # Also tells uvicorn not to close the transport when the application returns.
        self.close_timer = self.loop.call_later(LINGER / 2, self.transport.abort)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LINGER / 10, self.transport.abort)

    def _read_on(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _cut_later(self) -> None:
        self.loop.call_later(LINGER, self.transport.abort)
