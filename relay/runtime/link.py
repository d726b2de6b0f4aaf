"""One registered connection: channels, keys and requests until it ends (relay-protocol 5, 9-13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from relay.runtime import counters
from relay.runtime.calls import Calls, Means
from relay.runtime.channel import Channel, Tampered
from relay.runtime.dial import hang_up, shown
from relay.runtime.outbox import Outbox
from relay.runtime.phone_tokens import PhoneTokens
from relay.runtime.roster import Served
from relay.wire import frames
from relay.wire.frames import ChannelClose, ChannelOpen, ErrorCode, Frame, FrameError, FrameType
from relay.wire.identity import Identity
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel, SealingError

WRITE_SECONDS = 10.0  # per message; then the connection is given up
OPENING = 256  # channels whose token is being checked; the relay allows 64 phones by default
INVALID_TOKEN = "invalid auth token"  # noqa: S105 - upstream's reason text

log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why a registered connection ended; the keeper reacts to it (relay-protocol 6.3)."""

    LOST = auto()  # closed, reset, silent
    DRAINED = auto()  # the relay asked to come again
    LICENCE = auto()  # the relay withdrew the credential
    RENEWED = auto()  # we have a fresher credential


class Link:
    """`changed(number of channels)` is called when a channel opens or closes."""

    def __init__(
        self,
        socket: ClientConnection,
        *,
        served: Served,
        identity: Identity,
        tokens: PhoneTokens,
        means: Means,
        changed: Callable[[int], None],
    ) -> None:
        self._socket = socket
        self._served = served
        self._identity = identity
        self._tokens = tokens
        self._changed = changed
        self._outbox = Outbox()
        self._channels: dict[int, Channel] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._calls = Calls(
            means=means,
            organisation=served.organisation,
            instance_host=served.instance_host,
            say=self._say,
        )

    async def serve(self) -> Ending:
        """Until the connection ends; then all its work is cancelled and the socket closed."""
        read = asyncio.create_task(self._read())
        write = asyncio.create_task(self._outbox.write(self._socket.send, seconds=WRITE_SECONDS))
        for task in (read, write):
            task.add_done_callback(self._broke)
        try:
            return await self._ending
        finally:
            tasks = [read, write, *self._opening.values()]
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._calls.cancel()
            with suppress(Exception):
                await hang_up(self._socket)

    def cut(self) -> None:
        self._socket.transport.abort()

    def end(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    @property
    def last_words(self) -> str:
        """What the relay said when it closed, for people."""
        code, reason = self._socket.close_code, self._socket.close_reason
        said = f" ({code}{f' {reason}' if reason else ''})" if code else ""
        return shown(f"the relay closed the connection{said}")

    async def idle(self) -> None:
        """Returns when no phone is waiting for an answer."""
        await self._calls.idle()

    async def revalidate(self) -> None:
        """Closes channels whose token was revoked since."""
        held = {channel.token for channel in self._channels.values()}
        if not held:
            return
        refused = await self._tokens.refused(self._served.organisation, held)
        for channel in [c for c in self._channels.values() if c.token in refused]:
            await self._close(channel, INVALID_TOKEN)

    # --- reading ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for message in self._socket:
                try:
                    frame = frames.decode(message.encode() if isinstance(message, str) else message)
                except FrameError as error:
                    log.info("frame skipped", error=error.code)
                    continue
                await self._take(frame)
        self.end(Ending.LOST)

    async def _take(self, frame: Frame) -> None:
        match frame.type:
            case FrameType.DATA:
                await self._data(frame)
            case FrameType.KEY_EXCHANGE:
                await self._exchange_keys(frame)
            case FrameType.CHANNEL_OPEN:
                self._open(frame)
            case FrameType.CHANNEL_CLOSE:
                self._closed_by_relay(frame)
            case FrameType.PING:
                await self._outbox.room()
                self._outbox.put(frames.PONG)
            case FrameType.DRAIN:
                self.end(Ending.DRAINED)
            case FrameType.ERROR:
                self._error(frame)
            case _:
                pass  # not for an instance after its registration

    async def _data(self, frame: Frame) -> None:
        channel = self._channels.get(frame.channel)
        if channel is None:
            return
        try:
            plaintext = channel.read(frame.payload)
        except Tampered:
            log.warning("tampered message", organisation=str(self._served.organisation))
            await self._close(channel, "message authentication failed")
            return
        if plaintext is not None:
            await self._calls.take(channel, plaintext)

    async def _exchange_keys(self, frame: Frame) -> None:
        """Unreadable keys and unknown channels get no answer. Afterwards the channel is sealed."""
        channel = self._channels.get(frame.channel)
        if channel is None:
            return
        ephemeral = EphemeralKey()
        try:
            keys = ephemeral.agree(KeyExchange.parse(frame.payload).public)
        except SealingError:
            return
        signature = self._identity.sign(ephemeral.public)
        answer = KeyExchange(ephemeral.public, signature).encode()
        await self._outbox.room()
        if channel.is_open:
            # In one step: what is sealed from here on comes after the key that opens it.
            channel.sealed = SealedChannel.of_instance(keys)
            self._outbox.put(frames.encode(FrameType.KEY_EXCHANGE, channel.number, answer))

    def _open(self, frame: Frame) -> None:
        try:
            asked = frames.parse(ChannelOpen, frame.payload)
        except FrameError:
            return  # no answer: the relay's own time-out handles it
        if len(self._opening) >= OPENING:
            counters.channel("unanswered")
            return
        if earlier := self._opening.pop(asked.channel_id, None):
            earlier.cancel()
        task = asyncio.create_task(self._admit(asked.channel_id, asked.auth_token.strip()))
        self._opening[asked.channel_id] = task
        task.add_done_callback(lambda done: self._admitted(asked.channel_id, done))

    async def _admit(self, number: int, token: str) -> None:
        verdict = bool(token) and await self._tokens.opens(self._served.organisation, token)
        if verdict is None:
            counters.channel("unanswered")
            return
        await self._outbox.room()
        if not verdict:
            # A refused re-open leaves a channel of that number alone.
            counters.channel("refused")
            self._outbox.put(frames.message(ChannelClose(number, INVALID_TOKEN)))
            return
        if earlier := self._channels.get(number):
            earlier.close()
        self._channels[number] = Channel(number, token)
        counters.channel("opened")
        self._outbox.put(frames.message(ChannelOpen(number, token)))
        self._changed(len(self._channels))

    def _admitted(self, number: int, task: asyncio.Task[None]) -> None:
        if self._opening.get(number) is task:
            del self._opening[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a channel could not be opened", exc_info=error)

    def _closed_by_relay(self, frame: Frame) -> None:
        try:
            number = frames.parse(ChannelClose, frame.payload).channel_id
        except FrameError:
            number = frame.channel
        if opening := self._opening.pop(number, None):
            opening.cancel()
        if channel := self._channels.pop(number, None):
            channel.close()
            self._changed(len(self._channels))

    def _error(self, frame: Frame) -> None:
        try:
            error = frames.parse(frames.Error, frame.payload)
        except FrameError:
            return
        log.warning(
            "error from the relay",
            organisation=str(self._served.organisation),
            error=shown(f"{error.code}: {error.message}"),
        )
        if error.code in (ErrorCode.LICENSE_INVALID, ErrorCode.LICENSE_EXPIRED):
            self.end(Ending.LICENCE)

    # --- writing ---------------------------------------------------------------------------------

    async def _say(self, channel: Channel, plaintext: bytes) -> None:
        """Seals an answer and queues it in one step, so that answers leave in the order of their
        counters. Nothing is said on a closed channel."""
        await self._outbox.room()
        if not channel.is_open:
            return
        payload = channel.seal(plaintext)
        if len(payload) > frames.MAX_PAYLOAD:
            # Only a request id of 60 KiB, echoed in an error, can do this; it gets no answer.
            return
        self._outbox.put(frames.encode(FrameType.DATA, channel.number, payload))

    async def _close(self, channel: Channel, reason: str) -> None:
        await self._outbox.room()
        if not channel.is_open:
            return
        channel.close()
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]
        self._outbox.put(frames.message(ChannelClose(channel.number, reason)))
        self._changed(len(self._channels))

    def _broke(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception()
            if error is not None and not isinstance(error, ConnectionClosed | TimeoutError):
                log.error("a relay connection failed", exc_info=error)
            self.end(Ending.LOST)
