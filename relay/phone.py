"""A reference phone: pairs from the deep link alone and talks sealed to one organisation.

    async with Phone.from_link(link) as phone:
        reply = await phone.request("GET", "/api/organisation")

It pins the identity of the link: the instance must sign its half of the key exchange with that key,
or nothing is sent to it. One request is in flight at a time (relay-protocol section 5 says why).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from relay.wire import identity, pairing, proxy
from relay.wire.frames import (
    MAX_MESSAGE,
    PONG,
    ChannelClose,
    Connect,
    ConnectAck,
    Drain,
    Error,
    ErrorCode,
    Frame,
    FrameError,
    FrameType,
    decode,
    encode,
    message,
    parse,
)
from relay.wire.identity import IdentityError
from relay.wire.pairing import Pairing, PairingError
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel, SealingError

ANSWER_TIMEOUT = 15.0  # more than the relay gives an instance to accept a channel (10 s)

_KEPT = "The pairing is kept"
_PAIR_AGAIN = "Pair again: open the organisation's page and scan a new QR code."
# What a person should do next, by code. Only AUTH_FAILED ends a pairing (design section 6).
ADVICE: dict[str, str] = {
    ErrorCode.AUTH_FAILED: f"This phone's pairing was revoked or has expired. {_PAIR_AGAIN}",
    ErrorCode.INSTANCE_NOT_FOUND: f"The organisation is offline or suspended. {_KEPT}; try later.",
    ErrorCode.INTERNAL_ERROR: f"Relay or organisation did not answer. {_KEPT}; try in a minute.",
    ErrorCode.RATE_LIMITED: f"Too many connections from this address. {_KEPT}; wait a minute.",
    ErrorCode.CHANNEL_LIMIT_REACHED: (
        f"As many phones as allowed are connected already. {_KEPT}; disconnect one or try later."
    ),
    ErrorCode.SERVER_DRAINING: f"The relay is restarting. {_KEPT}; try again in a few seconds.",
    "LINK_INVALID": "Copy the whole link, or make a new QR code on the organisation's page.",
    "IDENTITY_MISSING": "Without it nobody can tell who answers. Make a new QR code.",
    "IDENTITY_MISMATCH": (
        "Somebody else answered in the organisation's place, or its identity was replaced. Nothing "
        "was sent to it. Ask the organisation, and pair again only from its own page."
    ),
    "RELAY_UNREACHABLE": f"Check the network and the relay address. {_KEPT}.",
    "CHANNEL_CLOSED": f"The organisation ended the connection. {_KEPT}; connect again.",
    "CONNECTION_LOST": f"The connection broke. {_KEPT}; connect again.",
    "TIMED_OUT": f"No answer in time. {_KEPT}; try again.",
    "TAMPERED": f"A sealed message was changed or replayed on its way. {_KEPT}; connect again.",
    "PROTOCOL_ERROR": "The other side is no relay for this phone. Check the relay address.",
    "TOO_LARGE": "A request may carry 47 KiB.",
    "NOT_CONNECTED": "Open the connection first.",
}


class PhoneError(Exception):
    """`code` is one of ADVICE: the relay's own code, or the phone's. `advice` says what to do next.
    Neither text ever holds the token."""

    def __init__(self, code: str, what: str) -> None:
        self.code = code
        self.what = what
        self.advice = ADVICE.get(code, "Update the app, or tell the people who run the relay.")
        super().__init__(f"{code}: {what} {self.advice}")

    @property
    def pairing_is_over(self) -> bool:
        """Whether a phone should forget this pairing."""
        return self.code == ErrorCode.AUTH_FAILED


class Timings(NamedTuple):
    """Milliseconds of one connection: WebSocket open, channel accepted, key exchange verified."""

    dialled: float
    accepted: float
    sealed: float


@dataclass
class Reply:
    """`events` holds the events of an event stream, in order; other answers have none."""

    status: int
    headers: dict[str, str]
    body: bytes
    ms: float
    events: list[bytes] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)


class Phone:
    """One pairing, one connection at a time; it may be opened again after it ended.

    Every method raises PhoneError. After one of its codes CONNECTION_LOST, CHANNEL_CLOSED, TAMPERED,
    PROTOCOL_ERROR or a code of the relay the connection is closed.
    """

    def __init__(self, paired: Pairing, *, timeout: float = ANSWER_TIMEOUT) -> None:
        """`timeout` in seconds, for the dial and for each awaited frame."""
        if not paired.identity_public_key:
            raise PhoneError("IDENTITY_MISSING", "The pairing link has no identity key.")
        self.pairing = paired
        try:
            self.identity_fingerprint = identity.fingerprint(paired.identity_public_key)
        except IdentityError as wrong:
            raise PhoneError("LINK_INVALID", _sentence(wrong)) from None
        self.timeout = timeout
        self.channel = 0
        self.timings: Timings | None = None
        self._socket: ClientConnection | None = None
        self._sealed: SealedChannel | None = None
        self._requests = 0
        self._turn = asyncio.Lock()

    @classmethod
    def from_link(cls, link: str, *, timeout: float = ANSWER_TIMEOUT) -> Self:
        try:
            return cls(pairing.parse(link), timeout=timeout)
        except PairingError as wrong:
            raise PhoneError("LINK_INVALID", _sentence(wrong)) from None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Dials, connects, exchanges keys and verifies the pinned identity."""
        await self.close()
        self.channel = 0
        started = time.perf_counter()
        self._socket = await self._dial()
        dialled = time.perf_counter()
        try:
            await self._send(message(Connect(self.pairing.instance_id, self.pairing.auth_token)))
            ack = await self._expect(FrameType.CONNECT_ACK)
            self.channel = parse(ConnectAck, ack.payload).channel_id
            accepted = time.perf_counter()
            mine = EphemeralKey()
            payload = KeyExchange(mine.public).encode()
            await self._send(encode(FrameType.KEY_EXCHANGE, self.channel, payload))
            self._seal(mine, (await self._expect(FrameType.KEY_EXCHANGE)).payload)
        except FrameError as wrong:
            await self._give_up("PROTOCOL_ERROR", f"The relay sent {wrong.code}.")
        except BaseException:
            await self.close()
            raise
        sealed = time.perf_counter()
        steps = (dialled - started, accepted - dialled, sealed - accepted)
        self.timings = Timings(*(seconds * 1000 for seconds in steps))

    async def close(self) -> None:
        socket, self._socket, self._sealed = self._socket, None, None
        if socket is not None:
            await socket.close()

    async def wait_closed(self) -> PhoneError:
        """Waits until the other side ends the connection; why it did."""
        async with self._turn:
            try:
                while True:
                    await self._next(None)
            except PhoneError as ended:
                return ended

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """The whole answer; of an event stream that ends, all its events."""
        started = time.perf_counter()
        responses = self.responses(method, path, headers=headers, body=body)
        first = await anext(responses)
        ms = (time.perf_counter() - started) * 1000
        reply = Reply(first.status, first.headers, first.body, ms)
        async for response in responses:
            if response.stream:
                reply.events.append(response.body)
            elif not response.stream_done:  # a broken stream ends with a plain error
                reply.status, reply.body = response.status, response.body
        return reply

    async def responses(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AsyncGenerator[proxy.Response, None]:
        """Every response frame of one request as it comes: one, or those of an event stream up to
        its end. A reader that leaves early (contextlib.aclosing) frees the phone for the next one.
        """
        async with self._turn:
            channel = self._connected()
            if len(body) > proxy.BODY_LIMIT:
                raise PhoneError("TOO_LARGE", "The request body is too large.")
            self._requests += 1
            asked = proxy.Request(f"req_{self._requests}", method, path, dict(headers or {}), body)
            sealed = channel.seal(proxy.encode_request(asked))
            await self._send(encode(FrameType.DATA, self.channel, sealed))
            while True:
                response = await self._response()
                if response.id != asked.id:
                    continue  # the rest of an answer whose reader left
                yield response
                if not response.stream:
                    return

    # --- the wire ---

    async def _dial(self) -> ClientConnection:
        try:
            return await connect(
                self.pairing.relay_url,
                compression=None,
                max_size=MAX_MESSAGE,
                user_agent_header="PulseCloud-phone",
                proxy=None,
                open_timeout=self.timeout,
                close_timeout=1,
            )
        except InvalidStatus as refused:
            what = f"The relay address answered HTTP {refused.response.status_code}."
        except TimeoutError:
            what = f"The relay did not answer within {self.timeout:g} s."
        except (OSError, WebSocketException, ValueError) as failed:
            what = f"The relay cannot be reached ({failed})."
        raise PhoneError("RELAY_UNREACHABLE", what)

    def _seal(self, mine: EphemeralKey, payload: bytes) -> None:
        """Believes the instance's half only with the signature of the pinned identity."""
        try:
            theirs = KeyExchange.parse(payload)
            genuine = identity.verify(
                self.pairing.identity_public_key,
                ephemeral=theirs.public,
                signature=theirs.signature,
            )
            if not genuine:
                raise PhoneError(
                    "IDENTITY_MISMATCH",
                    f"Whoever answered is not {self.identity_fingerprint}.",
                )
            self._sealed = SealedChannel.of_app(mine.agree(theirs.public))
        except SealingError as wrong:
            raise PhoneError("PROTOCOL_ERROR", f"The key exchange failed: {wrong.code}.") from None

    async def _response(self) -> proxy.Response:
        """Opens the next DATA; a message that does not open ends the connection (F44)."""
        frame = await self._expect(FrameType.DATA)
        sealed = self._connected()
        try:
            return proxy.decode_response(sealed.open(frame.payload))
        except SealingError as wrong:
            await self._give_up("TAMPERED", f"A message failed its check: {wrong.code}.")
        except proxy.ProxyError as wrong:
            await self._give_up("PROTOCOL_ERROR", _sentence(wrong))

    async def _expect(self, kind: FrameType) -> Frame:
        while True:
            frame = await self._next(self.timeout)
            if frame.type is kind:
                return frame
            if not self.channel:  # CONNECT_ACK is the first frame, or this is no relay
                await self._give_up("PROTOCOL_ERROR", f"The first frame was {frame.type.name}.")

    async def _next(self, seconds: float | None) -> Frame:
        """The next frame of our channel; PING is answered, and what ends the connection raises."""
        while True:
            socket = self._open_socket()
            try:
                async with asyncio.timeout(seconds):
                    raw = await socket.recv()
                frame = decode(raw if isinstance(raw, bytes) else b"")
                if frame.type is FrameType.PING and self.channel:
                    await self._send(PONG)
                elif frame.type is FrameType.ERROR:
                    error = parse(Error, frame.payload)
                    await self._give_up(error.code, f"The relay says: {error.message.rstrip('.')}.")
                elif frame.type is FrameType.DRAIN:
                    reason = parse(Drain, frame.payload).reason or "no reason given"
                    await self._give_up(ErrorCode.SERVER_DRAINING, f"The relay drains: {reason}.")
                elif frame.type is FrameType.CHANNEL_CLOSE:
                    reason = parse(ChannelClose, frame.payload).reason or "no reason given"
                    await self._give_up("CHANNEL_CLOSED", f"The channel was closed: {reason}.")
                elif frame.channel == self.channel or not self.channel:
                    return frame
            except TimeoutError:
                raise PhoneError("TIMED_OUT", f"Nothing came within {seconds} s.") from None
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else "no close frame"
                await self._give_up("CONNECTION_LOST", f"The relay ended the connection ({code}).")
            except FrameError as wrong:
                await self._give_up("PROTOCOL_ERROR", f"The relay sent no frame: {wrong.code}.")

    async def _send(self, raw: bytes) -> None:
        socket = self._open_socket()
        try:
            await socket.send(raw)
        except ConnectionClosed:
            await self._give_up("CONNECTION_LOST", "The relay ended the connection.")

    def _open_socket(self) -> ClientConnection:
        if self._socket is None:
            raise PhoneError("NOT_CONNECTED", "The phone is not connected.")
        return self._socket

    def _connected(self) -> SealedChannel:
        if self._sealed is None:
            raise PhoneError("NOT_CONNECTED", "The phone is not connected.")
        return self._sealed

    async def _give_up(self, code: str, what: str) -> NoReturn:
        await self.close()
        raise PhoneError(code, what) from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
