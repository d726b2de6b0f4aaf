"""Carrying frames: unchanged, in order, once; and one peer's slowness is nobody else's."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time

import pytest
from websockets.exceptions import ConnectionClosed

from relay.wire import identity, proxy
from relay.wire.frames import (
    MAX_MESSAGE,
    MAX_PAYLOAD,
    PONG,
    ChannelClose,
    FrameType,
    decode,
    encode,
)
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel
from tests.raw_socket import RawSocket, raw_app
from tests.reference_instance import ReferenceInstance
from tests.relay_server.channels import connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import licence
from tests.waiting import until_async

SIBLING_DELAY = 1.5  # seconds; milliseconds on an idle machine, but tests share two cores


@pytest.mark.covers("R03", "R49")
async def test_the_largest_message_passes_both_ways(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    largest = encode(FrameType.DATA, channel, os.urandom(MAX_PAYLOAD))
    assert len(largest) == MAX_MESSAGE
    await app.send(largest)
    assert await home.socket.recv() == largest
    await home.send(largest)
    assert await app.socket.recv() == largest
    for peer in (app, home):
        await peer.socket.close()


@pytest.mark.covers("R03", "F27")
@pytest.mark.parametrize("fragments", [1, 2, 40])
async def test_one_byte_more_closes_its_sender_with_1009(relay: Relay, fragments: int) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    whole = encode(FrameType.DATA, channel, bytes(MAX_PAYLOAD)) + b"!"
    size = -(-len(whole) // fragments)
    parts = [whole[i : i + size] for i in range(0, len(whole), size)]
    await app.socket.send(parts if fragments > 1 else whole)
    assert await app.closed() == 1009
    assert (await home.expect(ChannelClose)).channel_id == channel  # and it troubles nobody else
    await home.socket.send(parts if fragments > 1 else whole)
    assert await home.closed() == 1009


@pytest.mark.covers("R49", "F30", "F35", "F43")
async def test_everything_arrives_unchanged_in_order_and_once(relay: Relay) -> None:
    """Bursts far above what a channel layer holds (100 messages), fragmented as real peers do; in
    each direction less than the 4 MiB that the relay keeps for an app."""
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    chance = random.Random(7)
    messages = [
        encode(
            chance.choice([FrameType.DATA, FrameType.KEY_EXCHANGE]),
            channel,
            n.to_bytes(4) + chance.randbytes(chance.choice([0, 1, 60, 121, 4000, 9000])),
        )
        for n in range(1500)
    ]

    async def send(peer: RawSocket) -> None:
        for message in messages:
            cut = len(message) // 3
            if cut > 1000:
                await peer.socket.send([message[:cut], message[cut:]])
            else:
                await peer.send(message)

    async def receive(peer: RawSocket) -> None:
        for message in messages:
            assert await peer.socket.recv() == message

    async with asyncio.timeout(60):
        await asyncio.gather(send(app), receive(home), send(home), receive(app))
    for peer in (app, home):
        await peer.socket.close()


@pytest.mark.covers("R50")
async def test_sealed_and_plain_apps_of_one_instance_get_their_own_answers(relay: Relay) -> None:
    key = identity.make()
    async with ReferenceInstance(
        relay.instances,
        license_token=licence(),
        identity=key,
        valid_tokens={"a", "b", "c"},
    ) as home:
        await home.registered()

        async def ask(token: str, *, sealed: bool) -> None:
            app, channel = await raw_app(relay.apps, home.instance_id, token)
            keys: SealedChannel | None = None
            if sealed:
                mine = EphemeralKey()
                exchange = KeyExchange(mine.public, b"").encode()
                await app.send_frame(FrameType.KEY_EXCHANGE, channel, exchange)
                answer = KeyExchange.parse((await app.expect_type(FrameType.KEY_EXCHANGE)).payload)
                assert identity.verify(
                    key.public_key, ephemeral=answer.public, signature=answer.signature
                )
                keys = SealedChannel.of_app(mine.agree(answer.public))
            for n in range(20):
                request = proxy.encode_request(proxy.Request(str(n), "GET", f"/{token}/{n}"))
                await app.send_frame(
                    FrameType.DATA, channel, keys.seal(request) if keys else request
                )
                payload = (await app.expect_type(FrameType.DATA)).payload
                response = proxy.decode_response(keys.open(payload) if keys else payload)
                assert json.loads(response.body)["path"] == f"/{token}/{n}"
            await app.socket.close()

        plain = relay.metrics()["pulse_relay_plaintext_channels_total"]
        await asyncio.gather(ask("a", sealed=True), ask("b", sealed=True), ask("c", sealed=False))
        assert relay.metrics()["pulse_relay_plaintext_channels_total"] == plain + 1


async def echo(home: RawSocket) -> None:
    """An instance that sends everything back; what stalls its sending stalls its reading too."""
    while True:
        raw = await home.socket.recv()
        assert isinstance(raw, bytes)
        if decode(raw).type is FrameType.DATA:
            await home.socket.send(raw)


async def worst_round_trip(app: RawSocket, channel: int, *, seconds: float) -> float:
    worst, end = 0.0, time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        await app.send_frame(FrameType.DATA, channel, b"ping")
        assert (await app.expect_type(FrameType.DATA)).payload == b"ping"
        worst = max(worst, time.monotonic() - began)
        await asyncio.sleep(0.01)
    return worst


@pytest.mark.covers("R55", "R56", "F10", "F11", "F39", "F43")
async def test_stalled_apps_do_not_delay_a_sibling_and_are_closed(new_relay: NewRelay) -> None:
    """Ten phones ask for more than they read. The instance waits for nobody, the healthy phone
    notices nothing, memory stays bounded, and the stalled ones are closed: never a hole."""
    relay = new_relay()
    home, instance_id = await instance(relay)
    healthy, channel = await connected(relay, home, instance_id)
    stalled = [await connected(relay, home, instance_id) for _ in range(10)]
    for app, _ in stalled:
        app.stop_reading()
    before = relay.memory()
    echoing = asyncio.create_task(echo(home))
    measuring = asyncio.create_task(worst_round_trip(healthy, channel, seconds=4))

    async def flood(app: RawSocket, number: int) -> None:
        for n in range(400):  # 400 × 50 kB for each: its queue has 4 MiB
            body = n.to_bytes(4) + bytes(50_000)
            await app.send_frame(FrameType.DATA, number, body)

    floods = [asyncio.create_task(flood(*each)) for each in stalled]
    peak = 0
    while not measuring.done():
        peak = max(peak, relay.memory())
        await asyncio.sleep(0.05)
    assert await measuring < SIBLING_DELAY
    await until_async(lambda: relay.metrics()["pulse_relay_slow_apps_total"] == 10, 15)
    # 10 queues of 4 MiB, and what asyncio and the allocator hold besides.
    assert peak - before < 10 * 6 * 1024 * 1024
    assert relay.gauges() == (1, 1)
    for task in floods:
        task.cancel()
    for app, number in stalled:
        app.read_again()
        expected = 0
        with pytest.raises(ConnectionClosed):
            while True:
                frame = await app.frame()
                assert frame.type is FrameType.DATA and frame.channel == number
                assert int.from_bytes(frame.payload[:4]) == expected
                expected += 1
    echoing.cancel()
    for peer in (healthy, home):
        peer.vanish()


@pytest.mark.covers("R55")
@pytest.mark.parametrize("size", [8, 60_000])
async def test_a_flooding_app_does_not_delay_a_sibling(relay: Relay, size: int) -> None:
    home, instance_id = await instance(relay)
    healthy, channel = await connected(relay, home, instance_id)
    flooder, number = await connected(relay, home, instance_id)
    body = bytes(size)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await flooder.send_frame(FrameType.DATA, number, body)
            sent += 1
            if sent % 64 == 0:
                await asyncio.sleep(0)

    async def answer() -> None:
        while True:
            raw = await home.socket.recv()
            assert isinstance(raw, bytes)
            if raw[6:10] == b"ping":
                await home.socket.send(raw)

    tasks = [asyncio.create_task(flood()), asyncio.create_task(answer())]
    worst = await worst_round_trip(healthy, channel, seconds=3)
    for task in tasks:
        task.cancel()
    assert sent > 500
    assert worst < SIBLING_DELAY
    for peer in (flooder, healthy, home):
        peer.vanish()


@pytest.mark.covers("R56")
async def test_an_instance_that_stops_reading_holds_up_its_own_apps_only(
    new_relay: NewRelay,
) -> None:
    relay = new_relay(PULSE_RELAY_PING_INTERVAL="1s", PULSE_RELAY_PING_TIMEOUT="2s")
    stuck, stuck_id = await instance(relay)
    waiting, number = await connected(relay, stuck, stuck_id)
    home, instance_id = await instance(relay)
    healthy, channel = await connected(relay, home, instance_id)
    before = relay.memory()
    stuck.stop_reading()

    async def flood() -> None:
        while True:
            await waiting.send_frame(FrameType.DATA, number, bytes(60_000))

    flooding = asyncio.create_task(flood())
    echoing = asyncio.create_task(echo(home))
    assert await worst_round_trip(healthy, channel, seconds=2) < SIBLING_DELAY
    assert relay.memory() - before < 8 * 1024 * 1024  # back-pressure, not buffers
    # It answers no pings either, so it is given up, and its apps with it.
    await until_async(lambda: relay.gauges() == (1, 1), 10)
    with pytest.raises(ConnectionClosed):
        await flooding
    echoing.cancel()
    for peer in (waiting, stuck, healthy, home):
        peer.vanish()


@pytest.mark.covers("R62", "F42")
async def test_pings_of_the_protocol_are_answered(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    for peer in (home, app):
        for named in (0, channel, 99):
            await peer.send_frame(FrameType.PING, named, b"whatever")
            assert await peer.socket.recv() == PONG
        await peer.send_frame(FrameType.PONG, 0)
        assert await peer.silent(0.05)
    for peer in (app, home):
        await peer.socket.close()
