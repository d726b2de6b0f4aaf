"""Answers the requests that come out of one instance connection's channels (relay-protocol 10, 11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import httpx
import structlog
from django.conf import settings

from relay.runtime import counters, web
from relay.runtime.channel import Channel
from relay.runtime.events import EventTooLarge, events
from relay.runtime.fairness import Allowance, Gate
from relay.wire import proxy
from relay.wire.frames import MAX_PAYLOAD
from relay.wire.sealing import OVERHEAD

IN_FLIGHT = 64  # requests being handled per instance connection, all channels; then 503
# What is not the phone's doing: the connection to web, an unreadable answer, our own deadline.
_BROKEN = (httpx.TransportError, httpx.InvalidURL, web.Unreadable, TimeoutError)

log = structlog.get_logger(__name__)
Say = Callable[[Channel, bytes], Awaitable[None]]


@dataclass(frozen=True)
class Means:
    """What all connections of the process share to get requests answered."""

    web: web.Web
    gate: Gate
    streams: Allowance


class Calls:
    """The requests of one connection. `say(channel, plaintext)` seals and queues an answer; it does
    nothing for a closed channel."""

    def __init__(self, *, means: Means, organisation: UUID, instance_host: str, say: Say) -> None:
        self._means = means
        self._organisation = organisation
        self._instance_host = instance_host
        self._say = say
        self._running: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def take(self, channel: Channel, plaintext: bytes) -> None:
        """Starts answering a request, or refuses it at once with 429 or 503."""
        if not channel.admits(time.monotonic()):
            await self._refuse(channel, plaintext, proxy.RATE_LIMITED)
        elif len(self._running) >= IN_FLIGHT:
            await self._refuse(channel, plaintext, proxy.OVERLOADED)
        else:
            task = asyncio.create_task(self._answer(channel, plaintext))
            self._running.add(task)
            self._idle.clear()
            task.add_done_callback(self._ended)

    async def cancel(self) -> None:
        """The connection ended, and with it all its work."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def idle(self) -> None:
        """Returns when no request is being answered."""
        await self._idle.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running:
            self._idle.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a phone's request failed", exc_info=error)

    async def _refuse(self, channel: Channel, plaintext: bytes, why: tuple[int, str]) -> None:
        counters.call(why[0])
        await self._say(channel, proxy.error_response(proxy.request_id_of(plaintext), *why))

    async def _answer(self, channel: Channel, plaintext: bytes) -> None:
        request_id = ""
        try:
            async with asyncio.timeout(settings.RUNTIME_CALL_LIFE):
                request = proxy.decode_request(plaintext)
                request_id = request.id
                status = await self._call(channel, request)
        except proxy.ProxyError as error:
            status = error.status
            refused = proxy.error_response(error.request_id or request_id, status, str(error))
            await self._say(channel, refused)
        except (web.TooLarge, EventTooLarge):
            status = await self._fail(channel, request_id, proxy.RESPONSE_TOO_LARGE)
        except _BROKEN as error:
            log.warning(
                "web did not answer", organisation=str(self._organisation), error=repr(error)
            )
            status = await self._fail(channel, request_id, proxy.LOCAL_FAILURE)
        except Exception as error:
            # A fault of ours: the phone gets an answer, and the log the trace.
            log.error("a phone's request failed", exc_info=error)
            status = await self._fail(channel, request_id, (500, "internal error"))
        counters.call(status)

    async def _fail(self, channel: Channel, request_id: str, why: tuple[int, str]) -> int:
        await self._say(channel, proxy.error_response(request_id, *why))
        return why[0]

    async def _call(self, channel: Channel, request: proxy.Request) -> int:
        async with AsyncExitStack() as place:
            await place.enter_async_context(self._means.gate.place(self._organisation))
            async with self._means.web.call(
                request, instance_host=self._instance_host, token=channel.token
            ) as response:
                if web.is_event_stream(response):
                    if not self._means.streams.take(self._organisation):
                        return await self._fail(channel, request.id, proxy.OVERLOADED)
                    try:
                        await place.aclose()  # a stream would keep its place for minutes
                        await self._stream(channel, request, response)
                    finally:
                        self._means.streams.give_back(self._organisation)
                else:
                    body = await web.body_of(response, limit=proxy.BODY_LIMIT)
                    answer = proxy.Response(
                        request.id, response.status_code, web.visible(response.headers), body
                    )
                    await self._say(channel, _fitting(answer))
                return response.status_code

    async def _stream(
        self, channel: Channel, request: proxy.Request, response: httpx.Response
    ) -> None:
        """Head, one frame per event, and a last one that says it ended well. Anything else ends in
        a plain error answer, made by `_answer`."""
        if task := asyncio.current_task():
            channel.streams.add(task)
            task.add_done_callback(channel.streams.discard)
        status = response.status_code
        head = proxy.Response(request.id, status, web.visible(response.headers), stream=True)
        await self._say(channel, _fitting(head))
        pieces = web.decoded(response, limit=proxy.BODY_LIMIT)
        async for event in events(pieces, limit=proxy.BODY_LIMIT):
            if not channel.is_open:
                return
            part = proxy.Response(request.id, status, body=event, stream=True)
            await self._say(channel, _fitting(part))
        await self._say(
            channel, proxy.encode_response(proxy.Response(request.id, status, stream_done=True))
        )


def _fitting(response: proxy.Response) -> bytes:
    """The answer's JSON; raises TooLarge when id and headers leave a large body no room."""
    plaintext = proxy.encode_response(response)
    if len(plaintext) > MAX_PAYLOAD - OVERHEAD:
        raise web.TooLarge
    return plaintext
