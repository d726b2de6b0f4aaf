"""The channels of one connection of the reference instance: who may open them, key exchange, and
serving requests under the limits of relay-protocol sections 5, 9, 10 and 11."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

from relay.wire import proxy
from relay.wire.frames import (
    ChannelClose,
    ChannelOpen,
    Frame,
    FrameError,
    FrameType,
    encode,
    message,
    parse,
)
from relay.wire.identity import Identity, IdentityError
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel, SealingError

REQUESTS_PER_CHANNEL = 300  # per sliding RATE_WINDOW, then 429
RATE_WINDOW = 60.0
REQUESTS_IN_FLIGHT = 64  # all channels of a connection together, then 503
STREAM_LIFE = 15 * 60.0


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Stream:
    """An event stream; each event is its lines joined by newline."""

    events: AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})


Handler = Callable[[proxy.Request, str], Awaitable[Answer | Stream]]


async def say_where(request: proxy.Request, token: str) -> Answer:
    """The default handler: tells the path that was asked for."""
    return Answer(body=f'{{"method":"{request.method}","path":"{request.path}"}}'.encode())


@dataclass
class Channel:
    id: int
    token: str
    sealed: SealedChannel | None = None
    recent: deque[float] = field(default_factory=deque)  # times of requests in the rate window


class Channels:
    """`send` queues one whole message and never blocks."""

    def __init__(
        self,
        *,
        send: Callable[[bytes], None],
        identity: Identity | None,
        valid_tokens: Collection[str] | None,
        handler: Handler,
        rate_window: float = RATE_WINDOW,
    ) -> None:
        self.send = send
        self.identity = identity
        self.valid_tokens = valid_tokens
        self.handler = handler
        self.rate_window = rate_window
        self.open: dict[int, Channel] = {}
        self.work: set[asyncio.Task[None]] = set()

    def cancel(self) -> None:
        for task in self.work:
            task.cancel()
        self.open.clear()

    def take(self, frame: Frame) -> None:
        """Frames that are not about channels are ignored, and so is one that cannot be used."""
        match frame.type:
            case FrameType.CHANNEL_OPEN:
                self._channel_open(frame)
            case FrameType.CHANNEL_CLOSE:
                try:
                    gone = parse(ChannelClose, frame.payload).channel_id
                except FrameError:
                    gone = frame.channel
                self.open.pop(gone, None)  # its requests in flight run on
            case FrameType.KEY_EXCHANGE:
                self._key_exchange(frame)
            case FrameType.DATA:
                self._data(frame)

    def refuse(self, channel: int, reason: str) -> None:
        self.send(message(ChannelClose(channel, reason)))

    def _channel_open(self, frame: Frame) -> None:
        try:
            asked = parse(ChannelOpen, frame.payload)
        except FrameError:
            return
        token = asked.auth_token.strip()
        if self.valid_tokens is None:
            return self.refuse(asked.channel_id, "token validation unavailable")
        if not token or token not in self.valid_tokens:
            return self.refuse(asked.channel_id, "invalid auth token")
        self.open[asked.channel_id] = Channel(asked.channel_id, token)
        self.send(message(ChannelOpen(asked.channel_id, token)))

    def _key_exchange(self, frame: Frame) -> None:
        channel = self.open.get(frame.channel)
        if channel is None:
            return
        mine = EphemeralKey()
        try:
            keys = mine.agree(KeyExchange.parse(frame.payload).public)
        except SealingError:
            return
        if self.identity is None:
            del self.open[channel.id]
            return self.refuse(channel.id, "key exchange signing unavailable")
        try:
            signature = self.identity.sign(mine.public)
        except IdentityError:
            del self.open[channel.id]
            return self.refuse(channel.id, "key exchange signing failed")
        channel.sealed = SealedChannel.of_instance(keys)
        payload = KeyExchange(mine.public, signature).encode()
        self.send(encode(FrameType.KEY_EXCHANGE, channel.id, payload))

    def _data(self, frame: Frame) -> None:
        channel = self.open.get(frame.channel)
        if channel is None:
            return
        plaintext = frame.payload
        if channel.sealed:
            try:
                plaintext = channel.sealed.open(plaintext)
            except SealingError:
                return
        now = time.monotonic()
        while channel.recent and channel.recent[0] <= now - self.rate_window:
            channel.recent.popleft()
        if len(channel.recent) >= REQUESTS_PER_CHANNEL:
            return self._answer_unread(channel, plaintext, proxy.RATE_LIMITED)
        channel.recent.append(now)
        if len(self.work) >= REQUESTS_IN_FLIGHT:
            return self._answer_unread(channel, plaintext, proxy.OVERLOADED)
        task = asyncio.ensure_future(self._serve(channel, plaintext))
        self.work.add(task)
        task.add_done_callback(self.work.discard)

    def _answer_unread(self, channel: Channel, plaintext: bytes, error: tuple[int, str]) -> None:
        self._reply(channel, proxy.error_response(proxy.request_id_of(plaintext), *error))

    def _reply(self, channel: Channel, plaintext: bytes) -> None:
        sealed = channel.sealed.seal(plaintext) if channel.sealed else plaintext
        self.send(encode(FrameType.DATA, channel.id, sealed))

    async def _serve(self, channel: Channel, plaintext: bytes) -> None:
        try:
            request = proxy.decode_request(plaintext)
        except proxy.ProxyError as wrong:
            reply = proxy.error_response(wrong.request_id, wrong.status, str(wrong))
            return self._reply(channel, reply)
        try:
            answer = await self.handler(request, channel.token)
            if isinstance(answer, Stream):
                async with asyncio.timeout(STREAM_LIFE):
                    return await self._stream(channel, request.id, answer)
            too_large = len(answer.body) > proxy.BODY_LIMIT
        except Exception:  # whatever the handler raised: the app gets 502
            return self._reply(channel, proxy.error_response(request.id, *proxy.LOCAL_FAILURE))
        if too_large:
            return self._reply(channel, proxy.error_response(request.id, *proxy.RESPONSE_TOO_LARGE))
        response = proxy.Response(
            request.id, answer.status, proxy.returnable(answer.headers), answer.body
        )
        self._reply(channel, proxy.encode_response(response))

    async def _stream(self, channel: Channel, request_id: str, stream: Stream) -> None:
        def say(response: proxy.Response) -> None:
            self._reply(channel, proxy.encode_response(response))

        headers = proxy.returnable(stream.headers)
        say(proxy.Response(request_id, 200, headers, stream=True))
        async for event in stream.events:
            if len(event) > proxy.BODY_LIMIT:
                reply = proxy.error_response(request_id, *proxy.RESPONSE_TOO_LARGE)
                return self._reply(channel, reply)
            say(proxy.Response(request_id, 200, body=event, stream=True))
        say(proxy.Response(request_id, 200, stream_done=True))
