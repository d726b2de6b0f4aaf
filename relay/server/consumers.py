"""The two WebSocket endpoints, as plain ASGI callables.

They take messages and hand them to the switchboard. What is sent to a peer after the handshake goes
through its Line (`relay.server.protocol`), because ASGI's `send` cannot say "not now".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from relay.server import sessions
from relay.server.addresses import address_of
from relay.server.counters import platform
from relay.server.credentials import Credential
from relay.server.protocol import EXTENSION
from relay.server.registering import register
from relay.server.station import Station, TurnedAway
from relay.server.storage import StorageDown
from relay.server.switchboard import Channel, Instance, Line, LineLost, State
from relay.wire.frames import (
    PONG,
    ChannelClose,
    ChannelOpen,
    Connect,
    Error,
    ErrorCode,
    FrameError,
    FrameType,
    decode,
    message,
    parse,
    peek,
)

log = logging.getLogger(__name__)

# Its JSON must fit into CHANNEL_OPEN, where `<` takes six bytes. Pulse's own tokens have 64 characters.
LONGEST_TOKEN = 8192

# One read may bring 10,000 tiny frames, which never have to be waited for: others get a turn.
TURN = 64

# WebSocket close codes (RFC 6455 section 7.4.1)
NORMAL, MALFORMED, NOT_BINARY, REFUSED, FAULT = 1000, 1002, 1003, 1008, 1011


class Gone(Exception):
    """The peer has left, or said nothing in time."""


class Doors:
    """`instance` serves /ws/instance, `app` serves /ws/app."""

    def __init__(self, station: Station) -> None:
        self.station = station

    # --- instances ---

    async def instance(self, scope: Any, receive: Any, send: Any) -> None:
        line: Line = scope["extensions"][EXTENSION]
        instance: Instance | None = None
        timer: asyncio.TimerHandle | None = None
        try:
            first = await self._greet(scope, receive, send)
            instance, credential = await self._register(line, first)
            timer = self.station.end_at(instance, credential.ends)
            await self._serve_instance(instance, receive)
        except TurnedAway as away:
            self.station.counters.registrations[away.code] += 1
            log.info("instance refused", extra={"code": away.code, "why": str(away)})
            self._refuse(line, away)
        except (Gone, LineLost):
            line.finish()
        except Exception:
            log.exception("instance connection failed")
            self._refuse(line, TurnedAway(ErrorCode.INTERNAL_ERROR, "internal error"), FAULT)
        finally:
            if timer is not None:
                timer.cancel()
            if instance is not None:
                self.station.switchboard.remove(instance)
                log.info("instance gone", extra={"instance": instance.id})

    async def _register(self, line: Line, first: bytes) -> tuple[Instance, Credential]:
        """Queueing behind others of the same id included, within the time that an instance waits."""
        limits = self.station.limits
        try:
            async with asyncio.timeout(limits.first_frame + limits.database):
                return await register(self.station, line, first)
        except TimeoutError:
            raise TurnedAway(ErrorCode.INTERNAL_ERROR, "try again later") from None

    async def _serve_instance(self, instance: Instance, receive: Any) -> None:
        take = self.station.switchboard.from_instance
        taken = 0
        while True:
            event = await receive()
            frame = event.get("bytes")
            if frame is not None:
                take(instance, frame)
                taken += 1
                if not taken % TURN:
                    await asyncio.sleep(0)
            elif event["type"] == "websocket.disconnect":
                return
            else:
                instance.line.finish(NOT_BINARY)

    # --- apps ---

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        line: Line = scope["extensions"][EXTENSION]
        label = platform("")
        channel: Channel | None = None
        accepted = False
        try:
            asked = _read_connect(await self._greet(scope, receive, send))
            label = platform(asked.platform)
            instance = await self._find(asked.instance_id)
            opened = self.station.switchboard.open(instance, line, address=self._address(scope))
            if isinstance(opened, ErrorCode):
                raise TurnedAway(opened, "the instance has no channel left")
            channel = opened
            held = await self._ask(channel, asked.auth_token, receive)
            accepted = True
            self.station.counters.connects[label, "accepted"] += 1
            await self._serve_app(channel, receive, held)
        except TurnedAway as away:
            self.station.counters.connects[label, away.code] += 1
            self._refuse(line, away)
        except (Gone, LineLost):
            if not accepted:
                self.station.counters.connects[label, "gone"] += 1
            line.finish()
        except Exception:
            log.exception("app connection failed")
            self._refuse(line, TurnedAway(ErrorCode.INTERNAL_ERROR, "internal error"), FAULT)
        finally:
            if channel is not None:
                await self._hang_up(channel)

    async def _find(self, instance_id: str) -> Instance:
        """The live instance. One that is unknown, offline or blocked gets the same answer after the
        same work, so that nobody learns which of them it is (F53)."""
        if self.station.draining:
            raise TurnedAway(ErrorCode.SERVER_DRAINING, "the relay is restarting")
        blocked = False
        if sessions.well_formed(instance_id):
            try:
                blocked = await self.station.storage.run(lambda: sessions.is_blocked(instance_id))
            except StorageDown:
                raise TurnedAway(ErrorCode.INTERNAL_ERROR, "try again later") from None
        instance = self.station.switchboard.instances.get(instance_id)
        if instance is None or blocked:
            raise TurnedAway(ErrorCode.INSTANCE_NOT_FOUND, "the instance is not connected")
        return instance

    async def _ask(self, channel: Channel, token: str, receive: Any) -> Any:
        """Opens the channel at the instance and waits for its answer, or for the app to leave.
        CONNECT_ACK has been sent when this returns. What it returns is an app's message that came
        too early, still to be served, or None. Raises TurnedAway, Gone, LineLost."""
        early = asyncio.ensure_future(receive())
        try:
            async with asyncio.timeout(self.station.limits.echo):
                try:
                    await channel.instance.deliver(message(ChannelOpen(channel.id, token)))
                    channel.told = True
                except LineLost:
                    channel.settle(ErrorCode.INSTANCE_NOT_FOUND)
                await asyncio.wait({early, channel.answer}, return_when=asyncio.FIRST_COMPLETED)
                if early.done() and early.result()["type"] == "websocket.disconnect":
                    raise Gone
                code = await channel.answer
        except TimeoutError:
            code = ErrorCode.INTERNAL_ERROR
        finally:
            channel.settle(ErrorCode.INTERNAL_ERROR)  # an echo from now on comes too late
            early.cancel()  # takes nothing out of the queue
        if code is not None:
            raise TurnedAway(code, _WHY.get(code, "the instance did not answer"))
        return early.result() if early.done() and not early.cancelled() else None

    async def _serve_app(self, channel: Channel, receive: Any, event: Any) -> None:
        counters, instance, number = self.station.counters, channel.instance, channel.id
        keyed = False
        taken = 0
        while True:
            if event is None:
                event = await receive()
                taken += 1
                if not taken % TURN:
                    await asyncio.sleep(0)
            frame = event.get("bytes")
            if frame is None:
                if event["type"] == "websocket.disconnect":
                    return
                channel.line.finish(NOT_BINARY)
                event = None
                continue
            event = None
            try:
                kind, named = peek(frame)
            except FrameError:
                counters.malformed_frames += 1
                channel.line.finish(MALFORMED)
                continue
            if kind is FrameType.PING:
                channel.offer(PONG)
            elif named != number or channel.state is not State.OPEN:
                counters.dropped_frames += 1
            elif kind is FrameType.DATA or kind is FrameType.KEY_EXCHANGE:
                if not keyed:
                    keyed = True
                    counters.plaintext_channels += kind is FrameType.DATA
                counters.frames_to_instances += 1
                counters.bytes_to_instances += len(frame)
                try:
                    await instance.deliver(frame)
                except LineLost:  # the switchboard tells this app, behind what is queued for it
                    counters.dropped_frames += 1
            elif kind is FrameType.CHANNEL_CLOSE:
                channel.line.finish()
            else:
                counters.dropped_frames += 1

    async def _hang_up(self, channel: Channel) -> None:
        """Tells the instance that the app has gone, unless it knows. The channel keeps its place
        until then, so that coming and going cannot pile up what an instance still has to hear."""
        channel.drop()
        try:
            if channel.told:
                await channel.instance.deliver(
                    message(ChannelClose(channel.id, "app disconnected"))
                )
        except LineLost:
            pass
        finally:
            self.station.switchboard.free(channel)

    # --- both ---

    async def _greet(self, scope: Any, receive: Any, send: Any) -> bytes:
        """Accepts the handshake and returns the first message. Raises Gone, TurnedAway."""
        await receive()
        await send({"type": "websocket.accept"})
        allowed = self.station.budget.allow(self._address(scope))
        try:
            async with asyncio.timeout(self.station.limits.first_frame):
                event = await receive()
        except TimeoutError:
            raise Gone from None
        if event["type"] == "websocket.disconnect":
            raise Gone
        if not allowed:  # said now, because a client that is closed while it writes does not read
            raise TurnedAway(ErrorCode.RATE_LIMITED, "too many connections from this address")
        frame = event.get("bytes")
        if frame is None:
            raise TurnedAway(ErrorCode.AUTH_FAILED, "send binary messages")
        return bytes(frame)

    def _address(self, scope: Any) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        return address_of(peer, scope["headers"], self.station.proxies)

    @staticmethod
    def _refuse(line: Line, away: TurnedAway, code: int = REFUSED) -> None:
        with contextlib.suppress(LineLost):
            line.write(message(Error(away.code, str(away))))
        line.finish(code)


_WHY = {
    ErrorCode.AUTH_FAILED: "the instance refused the token",
    ErrorCode.INSTANCE_NOT_FOUND: "the instance is not connected",
    ErrorCode.SERVER_DRAINING: "the relay is restarting",
}


def _read_connect(first: bytes) -> Connect:
    """Raises TurnedAway. An instance is not troubled with what it would refuse anyway."""
    try:
        frame = decode(first)
        if frame.type is not FrameType.CONNECT:
            raise TurnedAway(ErrorCode.AUTH_FAILED, "the first frame must be CONNECT")
        asked = parse(Connect, frame.payload)
    except FrameError:
        raise TurnedAway(ErrorCode.AUTH_FAILED, "the first frame cannot be read") from None
    token = asked.auth_token.strip()
    if not asked.instance_id or not token or len(token) > LONGEST_TOKEN:
        raise TurnedAway(ErrorCode.AUTH_FAILED, "instance_id and auth_token are required")
    return asked
