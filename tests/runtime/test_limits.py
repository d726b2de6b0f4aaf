"""How much one channel, one connection and one organisation may ask for (relay-protocol 11)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from relay.runtime import channel as channels
from relay.runtime.backoff import Backoff
from relay.runtime.channel import Channel
from relay.runtime.fairness import Allowance, Gate
from relay.runtime.outbox import MAX_FRAMES, Outbox
from tests.runtime.conftest import Tenant, make_tenant
from tests.runtime.scripted_web import Asked, ScriptedWeb, answer, scripted_web
from tests.runtime.stage import Peer, Stage, ids, in_thread, running, scripted_relay_stage
from tests.waiting import until_async


@pytest.fixture(scope="module")
def tenant(live_db_session: None) -> Tenant:
    """One for all: nothing here changes it."""
    return make_tenant()


@dataclass
class Set:
    stage: Stage
    web: ScriptedWeb
    peers: list[Peer] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def stand(quick: Any, tenant: Tenant) -> AsyncIterator[Set]:
    """Two organisations, each with channel 1 open; `web` answers /hold when it is let go."""
    other = await in_thread(make_tenant)
    stand: Set

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target == "/hold":
            await stand.hold.wait()
        writer.write(answer())

    async with (
        scripted_web(script) as web,
        scripted_relay_stage() as stage,
        running(
            quick,
            only=ids(tenant.organisation, other.organisation),
            RELAY_SERVER=stage.url,
            WEB_ADDR=web.address,
            RUNTIME_CALLS=8,
        ),
    ):
        stand = Set(stage, web)
        by_hint = {t.organisation.instance_host: t for t in (tenant, other)}
        for _ in range(2):
            peer = await stage.connection()
            who = by_hint[peer.register.instance_hint]
            await peer.acknowledge(who.instance_id)
            await peer.open_channel(1, who.token)
            stand.peers.append(peer)
        yield stand


@pytest.mark.covers("F41", "R58")
async def test_301st_request_of_a_channel_within_a_minute_is_429(
    stand: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = stand.peers[0]
    for n in range(300):
        assert (await peer.ask_plainly(1, id=f"r{n}")).status == 200
    refused = await peer.ask_plainly(1, id="r300")
    assert (refused.status, refused.id) == (429, "r300")
    assert json.loads(refused.body) == {"error": "relay proxy rate limited"}
    assert len(stand.web.asked) == 300
    assert (await stand.peers[1].ask_plainly(1)).status == 200
    monkeypatch.setattr(channels, "WINDOW", 0.0)  # the window slides on
    assert (await peer.ask_plainly(1, id="r301")).status == 200


def test_window_of_a_channel_slides() -> None:
    channel = Channel(1, "token")
    assert all(channel.admits(n / 10) for n in range(300))  # 0.0 to 29.9 s
    assert not channel.admits(59.9)
    assert channel.admits(60.05)
    assert not channel.admits(60.06)
    assert channel.admits(60.15)


@pytest.mark.covers("R58")
async def test_65th_request_in_flight_of_a_connection_is_503(stand: Set) -> None:
    peer = stand.peers[0]
    for n in range(65):
        await peer.send_request(1, path="/hold", id=f"r{n}")
    refused = await peer.response(1)
    assert (refused.status, refused.id) == (503, "r64")
    assert json.loads(refused.body) == {"error": "relay proxy overloaded"}
    stand.hold.set()
    answered = {(await peer.response(1)).id for _ in range(64)}
    assert answered == {f"r{n}" for n in range(64)}


async def test_busy_organisation_does_not_hold_up_another(stand: Set) -> None:
    """Of 8 places at `web` it gets 6, however much it asks for; the rest is for the others."""
    busy, other = stand.peers
    for n in range(60):
        await busy.send_request(1, path="/hold", id=f"r{n}")
    await until_async(lambda: stand.web.open == 6)
    assert (await other.ask_plainly(1, seconds=1)).status == 200
    assert stand.web.open == 6


# --- the pieces -------------------------------------------------------------------------------------


async def test_gate_serves_whoever_has_least() -> None:
    gate = Gate(4)
    busy, modest, order = uuid4(), uuid4(), []
    release = asyncio.Event()

    async def work(who: UUID) -> None:
        async with gate.place(who):
            order.append(who)
            await release.wait()

    tasks = [asyncio.create_task(work(busy)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(work(modest)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert order == [busy, busy, busy, modest]  # three quarters at most, the rest waits
    release.set()
    await asyncio.gather(*tasks)
    assert len(order) == 8


async def test_gate_loses_no_place_to_cancelled_waiters() -> None:
    gate = Gate(1)
    who = uuid4()
    for delay in (0, 1, 2, 3):
        async with gate.place(who):
            waiting = [asyncio.create_task(_pass(gate, uuid4())) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        for _ in range(delay):
            await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await _pass(gate, who)


async def _pass(gate: Gate, who: UUID) -> None:
    async with gate.place(who):
        await asyncio.sleep(0)


def test_allowance_is_a_quarter_for_one() -> None:
    allowance, one = Allowance(8), uuid4()
    assert [allowance.take(one) for _ in range(3)] == [True, True, False]
    others = [uuid4() for _ in range(7)]
    assert [allowance.take(other) for other in others] == [True] * 6 + [False]
    allowance.give_back(one)
    assert allowance.take(others[6])


@pytest.mark.covers("F43")
async def test_full_outbox_makes_its_callers_wait_and_drops_nothing() -> None:
    outbox, sent = Outbox(), []
    gate = asyncio.Event()

    async def send(message: bytes) -> None:
        await gate.wait()
        sent.append(message)

    async def put(n: int) -> None:
        await outbox.room()
        outbox.put(b"%d" % n)

    writing = asyncio.create_task(outbox.write(send, seconds=5))
    tasks = [asyncio.create_task(put(n)) for n in range(MAX_FRAMES * 3)]
    await asyncio.sleep(0.05)
    assert sum(task.done() for task in tasks) <= MAX_FRAMES + 1
    for task in tasks[MAX_FRAMES + 1 : MAX_FRAMES + 10]:
        task.cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until_async(lambda: len(sent) == MAX_FRAMES * 3 - 9)
    assert sent == sorted(sent, key=int)
    writing.cancel()


async def test_peer_that_takes_nothing_is_given_up() -> None:
    outbox = Outbox()
    outbox.put(b"x")
    with pytest.raises(TimeoutError):
        await outbox.write(lambda _: asyncio.sleep(60), seconds=0.05)


def test_backoff_is_the_published_one() -> None:
    steps = [5, 10, 20, 40, 80, 160, 300, 300, 300]
    for _ in range(200):
        backoff = Backoff(5, 300)
        for step in steps:
            assert 0.9 * step <= backoff.next() <= 1.1 * step
    backoff.forget()
    assert backoff.next() <= 5.5
