"""Quiet connections stay, dead ones go (relay-protocol section 12, F37, F42)."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from pulsecloud import relay_settings
from relay.wire.frames import ChannelClose, FrameType, Register
from tests.raw_socket import RawSocket, raw_app, raw_instance
from tests.reference_instance import REAL, ReferenceInstance, Timing
from tests.relay_server.channels import connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.raw_http import RawHttp, handshake, masked
from tests.relay_server.signing import licence
from tests.waiting import until_async


async def stays_idle(relay: Relay, timing: Timing, *, seconds: float) -> None:
    """One idle instance and one idle phone, and nothing happens to them."""
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(
            ReferenceInstance(
                relay.instances, license_token=licence(), valid_tokens={"token"}, timing=timing
            )
        )
        app, channel = await raw_app(relay.apps, await home.registered(), "token")
        assert await app.silent(seconds)
        assert (home.connections, home.registrations, home.ends) == (1, 1, [])
        await app.send_frame(FrameType.DATA, channel, b'{"id":"1","method":"GET","path":"/"}')
        assert (await app.expect_type(FrameType.DATA)).channel == channel
        await app.socket.close()


@pytest.mark.covers("R60", "F37")
async def test_an_idle_instance_stays_connected_through_many_deadlines(new_relay: NewRelay) -> None:
    """Ten minutes are ten read deadlines of the instance and thirty pings of the relay; here both
    are shorter, and ten seconds five and thirty. The real ones: `make test-long`."""
    relay = new_relay(
        PULSE_RELAY_PING_INTERVAL="333ms",
        PULSE_RELAY_PING_TIMEOUT="4s",
        PULSE_RELAY_FIRST_FRAME_TIMEOUT="1s",
        PULSE_RELAY_SWEEP_INTERVAL="500ms",
    )
    await stays_idle(relay, Timing(ping=0.5, read_deadline=2.0), seconds=10)


@pytest.mark.long
@pytest.mark.covers("R60", "F37")
async def test_an_idle_instance_stays_connected_for_ten_minutes(new_relay: NewRelay) -> None:
    settings = {
        "PULSE_RELAY_PING_INTERVAL": "20s",
        "PULSE_RELAY_PING_TIMEOUT": "40s",
        "PULSE_RELAY_FIRST_FRAME_TIMEOUT": "15s",
    }
    await stays_idle(new_relay(**settings), REAL, seconds=600)


@pytest.mark.covers("F37")
async def test_idle_peers_are_pinged(new_relay: NewRelay) -> None:
    """NAT devices and load balancers forget a silent connection after a minute or two."""
    relay = new_relay(PULSE_RELAY_PING_INTERVAL="300ms", PULSE_RELAY_FIRST_FRAME_TIMEOUT="9s")
    for path in ("/ws/app", "/ws/instance"):
        async with await RawHttp.open(relay) as http:
            http.send(handshake(path))
            await http.head()
            for _ in range(3):
                async with asyncio.timeout(2):
                    ping = await http.reader.readexactly(6)
                assert ping[:2] == b"\x89\x04"
                http.send(masked(10, ping[2:]))


async def removed_within(relay: Relay, *, seconds: float) -> float:
    """How long it takes until a dead instance and a dead phone are gone; nobody says goodbye."""
    dead, dead_id = await instance(relay)
    orphan, channel = await connected(relay, dead, dead_id)
    home, instance_id = await instance(relay)
    gone, number = await connected(relay, home, instance_id)
    began = time.monotonic()
    dead.stop_reading()
    gone.stop_reading()
    assert (await home.expect(ChannelClose, seconds)).channel_id == number
    assert (await orphan.expect(ChannelClose, seconds)).channel_id == channel
    took = time.monotonic() - began
    await until_async(lambda: relay.gauges() == (1, 0))
    assert relay.metrics()["pulse_relay_silent_peers_total"] == 2
    for peer in (dead, gone, home, orphan):
        peer.vanish()
    return took


@pytest.mark.covers("R61", "F42")
async def test_a_peer_that_answers_no_ping_is_removed(new_relay: NewRelay) -> None:
    assert relay_settings.RELAY_PING_INTERVAL + relay_settings.RELAY_PING_TIMEOUT <= 60
    relay = new_relay(PULSE_RELAY_PING_INTERVAL="500ms", PULSE_RELAY_PING_TIMEOUT="2s")
    assert 1.5 < await removed_within(relay, seconds=8) < 6


@pytest.mark.long
@pytest.mark.covers("R61", "F42")
async def test_a_peer_that_answers_no_ping_is_removed_within_a_minute(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_PING_INTERVAL="20s", PULSE_RELAY_PING_TIMEOUT="40s")
    assert await removed_within(relay, seconds=70) < 65


@pytest.mark.covers("R62", "F42")
async def test_websocket_pings_are_answered(relay: Relay) -> None:
    home, _ = await raw_instance(relay.instances, Register(licence()))
    app = await RawSocket.open(relay.apps)
    for peer in (home, app):
        async with asyncio.timeout(2):
            await (await peer.socket.ping(b"12345"))
        await peer.socket.close()
