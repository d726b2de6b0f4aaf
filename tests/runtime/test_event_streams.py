"""Event streams, passed through frame by frame (relay-protocol section 10, item 59)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.runtime.events import EventTooLarge, events
from relay.wire import proxy
from relay.wire.frames import ChannelClose
from tests.runtime.conftest import Tenant, make_tenant
from tests.runtime.scripted_web import STREAM, Asked, ScriptedWeb, answer, scripted_web
from tests.runtime.stage import Peer, ids, running, scripted_relay_stage
from tests.waiting import until_async

LIMIT = 47 * 1024


@pytest.fixture(scope="module")
def tenant(live_db_session: None) -> Tenant:
    """One for all: nothing here changes it."""
    return make_tenant()


@dataclass
class Set:
    peer: Peer
    web: ScriptedWeb
    pieces: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    cut: bool = False

    async def begin(self, number: int = 1) -> proxy.Response:
        """Asks for the stream; its first frame."""
        await self.peer.send_request(number, path="/events")
        return await self.peer.response(number)

    async def event(self, number: int = 1) -> proxy.Response:
        return await self.peer.response(number)


@pytest.fixture
async def stand(quick: Any, tenant: Tenant) -> AsyncIterator[Set]:
    stand: Set

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target != "/events":
            writer.write(answer())
            return
        chunked = STREAM[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
        writer.write(chunked)
        while (piece := await stand.pieces.get()) is not None:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if not stand.cut:
            writer.write(b"0\r\n\r\n")

    async with (
        scripted_web(script) as web,
        scripted_relay_stage() as stage,
        running(
            quick,
            only=ids(tenant.organisation),
            RELAY_SERVER=stage.url,
            WEB_ADDR=web.address,
            RUNTIME_STREAMS=8,
        ),
    ):
        peer = await stage.registered(tenant.instance_id)
        await peer.open_channel(1, tenant.token)
        stand = Set(peer, web)
        yield stand


async def test_events_come_one_by_one_as_they_happen(stand: Set) -> None:
    head = await stand.begin()
    assert head == proxy.Response(
        "r1",
        200,
        {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"},
        stream=True,
    )
    stand.pieces.put_nowait(b"event: a\ndata: 1\n\n")
    first = await stand.event()
    assert first == proxy.Response("r1", 200, body=b"event: a\ndata: 1", stream=True)
    stand.pieces.put_nowait(b": still here\n\ndata: 2\ndata: 3\r\n\r\nda")
    assert (await stand.event()).body == b": still here"
    assert (await stand.event()).body == b"data: 2\ndata: 3"
    assert await stand.peer.silent(0.1)
    stand.pieces.put_nowait(b"ta: 4\r")
    stand.pieces.put_nowait(b"\n\r\n")
    assert (await stand.event()).body == b"data: 4"
    stand.pieces.put_nowait(None)
    assert await stand.event() == proxy.Response("r1", 200, stream_done=True)
    assert await stand.peer.silent(0.1)


async def test_last_frame_has_no_stream_key(stand: Set) -> None:
    from relay.wire.frames import FrameType

    await stand.begin()
    stand.pieces.put_nowait(None)
    frame = await stand.peer.expect_type(FrameType.DATA)
    assert json.loads(frame.payload) == {"id": "r1", "status": 200, "stream_done": True}


@pytest.mark.covers("F50")
async def test_stream_that_breaks_ends_with_502(stand: Set) -> None:
    await stand.begin()
    stand.pieces.put_nowait(b"data: 1\n\n")
    assert (await stand.event()).stream
    stand.cut = True
    stand.pieces.put_nowait(None)
    end = await stand.event()
    assert (end.status, end.stream, end.stream_done) == (502, False, False)


async def test_event_over_the_limit_ends_with_413(stand: Set) -> None:
    await stand.begin()
    stand.pieces.put_nowait(b"data: " + b"x" * (LIMIT - 6) + b"\n\n")
    assert len((await stand.event()).body) == LIMIT
    stand.pieces.put_nowait(b"data: " + b"x" * LIMIT + b"\n\n")
    end = await stand.event()
    assert (end.status, end.stream, end.stream_done) == (413, False, False)
    await until_async(lambda: stand.web.open == 0)


async def test_requests_go_on_beside_a_stream(stand: Set) -> None:
    await stand.begin()
    assert (await stand.peer.ask_plainly(1, path="/x", id="r2")).id == "r2"


async def test_stream_ends_at_web_when_its_channel_closes(stand: Set) -> None:
    await stand.begin()
    assert stand.web.open == 1
    await stand.peer.send(ChannelClose(1, "app left"))
    await until_async(lambda: stand.web.open == 0)


async def test_stream_ends_with_its_connection(stand: Set) -> None:
    await stand.begin()
    stand.peer.vanish()
    await until_async(lambda: stand.web.open == 0)


async def test_stream_that_outlives_its_time_ends_with_502(stand: Set, quick: Any) -> None:
    quick.RUNTIME_CALL_LIFE = 0.3
    await stand.begin()
    assert (await stand.event()).status == 502
    await until_async(lambda: stand.web.open == 0)


async def test_streams_are_limited_for_each_organisation(stand: Set, tenant: Tenant) -> None:
    """A quarter of all places for one organisation; what comes later is told 503 at once."""
    for number in (2, 3):
        await stand.peer.open_channel(number, tenant.token)
    assert (await stand.begin(1)).stream
    assert (await stand.begin(2)).stream
    refused = await stand.begin(3)
    assert (refused.status, refused.stream) == (503, False)
    await stand.peer.send(ChannelClose(1))
    await until_async(lambda: stand.web.open == 1)
    assert (await stand.begin(3)).stream


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([b"data: a\n\ndata: b\n\n"], [b"data: a", b"data: b"]),
        ([b"data: a\r", b"\n\r", b"\n", b"data: b\r\r"], [b"data: a", b"data: b"]),
        ([b"\n\n\n", b": c\n\n"], [b": c"]),
        ([b"id: 1\nevent: x\ndata: a\ndata: b\n\n"], [b"id: 1\nevent: x\ndata: a\ndata: b"]),
        ([b"d", b"", b"a", b"ta: a\n", b"\n"], [b"data: a"]),
        ([b"data: unfinished"], [b"data: unfinished"]),
        ([b"data: a\r", b"", b"\ndata: b\n\n"], [b"data: a\ndata: b"]),
        ([], []),
    ],
)
async def test_cutting_events(chunks: list[bytes], wanted: list[bytes]) -> None:
    assert [event async for event in events(_each(chunks), limit=100)] == wanted


@pytest.mark.parametrize("chunks", [[b"x" * 101], [b"x" * 60 + b"\n", b"x" * 60 + b"\n"]])
async def test_cutting_stops_at_the_limit(chunks: list[bytes]) -> None:
    with pytest.raises(EventTooLarge):
        [event async for event in events(_each(chunks), limit=100)]


async def _each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
