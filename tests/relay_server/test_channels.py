"""From CONNECT to the end of a channel (relay-protocol section 9)."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from relay.wire.frames import (
    ChannelClose,
    ChannelOpen,
    Connect,
    ConnectAck,
    Error,
    ErrorCode,
    FrameType,
    Register,
    encode,
    message,
)
from tests.raw_socket import RawSocket, raw_app
from tests.reference_instance import ReferenceInstance
from tests.relay_server.channels import accept, connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import licence
from tests.waiting import until_async


async def turned_away(relay: Relay, first: Connect | bytes | str) -> str:
    async with await RawSocket.open(relay.apps) as app:
        await app.send(first)
        error = await app.expect(Error)
        assert await app.closed() is not None
        return error.code


@pytest.mark.covers("R41", "R48")
async def test_connect_waits_for_the_instance_and_is_acknowledged_first(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app = await RawSocket.open(relay.apps)
    await app.send(Connect(instance_id, "  the token ", platform="ios"))
    opened = await home.expect_type(FrameType.CHANNEL_OPEN)
    assert await app.silent(0.2)  # not before the instance said yes
    assert relay.gauges()[1] == 0 or await app.silent(0.01)
    # An eager instance: its frames must not overtake CONNECT_ACK, its echo must not get through.
    await home.send_frame(FrameType.DATA, opened.channel, b"too early")
    await home.send(message(ChannelOpen(opened.channel, "the token")))
    await home.send_frame(FrameType.DATA, opened.channel, b"hello")
    ack = await app.frame()
    assert (ack.type, ack.channel) == (FrameType.CONNECT_ACK, opened.channel)
    assert ack.payload == b'{"channel_id":%d,"instance_id":"%s"}' % (
        opened.channel,
        instance_id.encode(),
    )
    assert (await app.expect_type(FrameType.DATA)).payload == b"hello"
    assert await app.silent(0.2)
    for peer in (app, home):
        await peer.socket.close()


@pytest.mark.covers("R42")
async def test_an_instance_that_is_not_there(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    await home.socket.close()
    await until_async(lambda: relay.gauges()[0] == 0)
    for missing in (instance_id, "relay_0000000000000000", "nonsense", "relay_\x01"):
        assert await turned_away(relay, Connect(missing, "token")) == ErrorCode.INSTANCE_NOT_FOUND


@pytest.mark.covers("R43")
async def test_only_a_refused_token_is_called_that(relay: Relay) -> None:
    """An app deletes its pairing on AUTH_FAILED."""
    async with ReferenceInstance(
        relay.instances, license_token=licence(), valid_tokens={"good"}
    ) as home:
        identity = await home.registered()
        assert await turned_away(relay, Connect(identity, "bad")) == ErrorCode.AUTH_FAILED
        home._channels.valid_tokens = None  # type: ignore[union-attr]  # cannot tell just now
        assert await turned_away(relay, Connect(identity, "good")) == ErrorCode.INTERNAL_ERROR
        home._channels.valid_tokens = {"good"}  # type: ignore[union-attr]
        app, _ = await raw_app(relay.apps, identity, "good")
        await app.socket.close()
        assert home.connections == 1


@pytest.mark.covers("R44")
async def test_an_instance_that_never_answers(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    began = time.monotonic()
    assert await turned_away(relay, Connect(instance_id, "token")) == ErrorCode.INTERNAL_ERROR
    assert 2.9 < time.monotonic() - began < 9
    opened = await home.expect_type(FrameType.CHANNEL_OPEN)
    assert (await home.expect(ChannelClose)).channel_id == opened.channel
    await home.send(message(ChannelOpen(opened.channel, "token")))  # too late
    assert relay.gauges()[1] == 0
    await home.socket.close()


@pytest.mark.covers("R06", "R07", "R45")
@pytest.mark.parametrize(
    "first",
    [
        Connect("", "token"),
        Connect("relay_0123456789abcdef", ""),
        Connect("relay_0123456789abcdef", " \n"),
        Connect("relay_0123456789abcdef", "x" * 9000),
        Register("licence"),
        encode(FrameType.CONNECT, 0, b""),
        encode(FrameType.CONNECT, 0, b"null"),
        encode(FrameType.CONNECT, 0, b'{"instance_id":["relay_0123456789abcdef"],"auth_token":"x"}'),
        encode(FrameType.CONNECT, 0, b'{"instance_id":"a","auth_token":"b","notification_preferences":1}'),
        encode(FrameType.CONNECT, 0, b'{"instance_id":"a","auth_token":1e999}'),
        encode(FrameType.DATA, 1, b"x"),
        b"\x01",
        "text",
    ],
)  # fmt: skip
async def test_a_connect_that_cannot_be_meant_troubles_no_instance(
    relay: Relay, first: Connect | bytes | str
) -> None:
    home, _ = await instance(relay)
    assert await turned_away(relay, first) == ErrorCode.AUTH_FAILED
    assert await home.silent(0.05)
    await home.socket.close()


@pytest.mark.covers("R46", "F46")
async def test_channel_ids_are_not_zero_and_never_used_twice(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    seen = []
    for _ in range(5):
        app, channel = await connected(relay, home, instance_id)
        seen.append(channel)
        app.vanish()
        await home.expect(ChannelClose)
    assert len(set(seen)) == 5
    assert 0 not in seen
    await home.socket.close()


@pytest.mark.covers("R47", "R57", "F45")
async def test_frames_reach_their_own_channel_only(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    one, first = await connected(relay, home, instance_id)
    two, second = await connected(relay, home, instance_id)
    other_home, other_id = await instance(relay)
    three, third = await connected(relay, other_home, other_id)

    await one.send_frame(FrameType.DATA, second, b"into another's channel")
    await one.send_frame(FrameType.KEY_EXCHANGE, 0, b"x" * 33)
    await one.send_frame(FrameType.CHANNEL_CLOSE, second)
    await one.send(Register("an app that plays instance"))
    await one.send_frame(FrameType.DATA, first, b"own")
    assert (await home.expect_type(FrameType.DATA)).payload == b"own"

    await home.send_frame(FrameType.DATA, 4_294_967_295, b"nobody's")
    await home.send_frame(FrameType.CHANNEL_CLOSE, 77, b"not even JSON")
    await home.send_frame(FrameType.DATA, second, b"for two")
    assert (await two.expect_type(FrameType.DATA)).payload == b"for two"
    assert await one.silent(0.1)

    one.vanish()
    assert (await home.expect(ChannelClose)).channel_id == first
    await home.send_frame(FrameType.DATA, first, b"a late reply")
    await home.send_frame(FrameType.DATA, second, b"still there")
    assert (await two.expect_type(FrameType.DATA)).payload == b"still there"
    # The same number on another instance is another channel.
    assert third == first
    assert await three.silent(0.1)
    for peer in (two, three, home, other_home):
        await peer.socket.close()


@pytest.mark.covers("R51")
async def test_the_instance_hears_of_an_app_that_vanished(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    began = time.monotonic()
    app.vanish()
    assert (await home.expect(ChannelClose)).channel_id == channel
    assert time.monotonic() - began < 2
    # Also when it leaves before the instance has answered.
    app = await RawSocket.open(relay.apps)
    await app.send(Connect(instance_id, "token"))
    opened = await home.expect_type(FrameType.CHANNEL_OPEN)
    app.vanish()
    assert (await home.expect(ChannelClose)).channel_id == opened.channel
    # Politely, with a CHANNEL_CLOSE of its own.
    app, channel = await connected(relay, home, instance_id)
    await app.send(ChannelClose(channel, "bye"))
    assert (await home.expect(ChannelClose)).channel_id == channel
    assert await app.closed() == 1000
    await home.socket.close()


@pytest.mark.covers("R52", "R84")
async def test_apps_hear_of_an_instance_that_vanished(relay: Relay) -> None:
    before = relay.gauges()
    home, instance_id = await instance(relay)
    apps = [await connected(relay, home, instance_id) for _ in range(3)]
    waiting = await RawSocket.open(relay.apps)
    await waiting.send(Connect(instance_id, "token"))
    await home.expect_type(FrameType.CHANNEL_OPEN)
    assert relay.gauges() == (before[0] + 1, before[1] + 3)
    home.vanish()
    for app, channel in apps:
        assert (await app.expect(ChannelClose)).channel_id == channel
        assert await app.closed() == 1000
    # Not AUTH_FAILED: the app that still waited keeps its pairing.
    assert (await waiting.expect(Error)).code == ErrorCode.INSTANCE_NOT_FOUND
    await until_async(lambda: relay.gauges() == before)


@pytest.mark.covers("R53")
async def test_an_instance_closes_one_channel(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    one, first = await connected(relay, home, instance_id)
    two, second = await connected(relay, home, instance_id)
    await home.send(ChannelClose(first, "token revoked"))
    assert await one.expect(ChannelClose) == ChannelClose(first, "token revoked")
    assert await one.closed() == 1000
    await two.send_frame(FrameType.DATA, second, b"alive")
    # Nothing tells the instance what it said itself.
    assert (await home.expect_type(FrameType.DATA)).payload == b"alive"
    for peer in (two, home):
        await peer.socket.close()


@pytest.mark.covers("R54", "F52")
async def test_the_channel_limit_counts_channels_that_wait(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_MAX_CHANNELS="4", PULSE_RELAY_ECHO_TIMEOUT="5s")
    home, instance_id = await instance(relay)
    apps = [await connected(relay, home, instance_id) for _ in range(2)]
    waiting = []
    for _ in range(2):
        waiting.append(await RawSocket.open(relay.apps))
        await waiting[-1].send(Connect(instance_id, "token"))
        await home.expect_type(FrameType.CHANNEL_OPEN)
    full = await turned_away(relay, Connect(instance_id, "token"))
    assert full == ErrorCode.CHANNEL_LIMIT_REACHED
    for app, channel in apps:  # those who are in are not troubled
        await app.send_frame(FrameType.DATA, channel, b"x")
        await home.expect_type(FrameType.DATA)
    waiting.pop().vanish()
    await home.expect(ChannelClose)
    app, _ = await connected(relay, home, instance_id)
    for peer in (app, *waiting, home, *(a for a, _ in apps)):
        peer.vanish()


@pytest.mark.covers("F52")
async def test_no_address_can_keep_all_channels_waiting(new_relay: NewRelay) -> None:
    """Without a token, one place can hold half of an instance's channels for the echo timeout."""
    relay = new_relay(
        PULSE_RELAY_MAX_CHANNELS="6",
        PULSE_RELAY_ECHO_TIMEOUT="20s",
        TRUSTED_PROXIES="127.0.0.0/8",
    )
    home, instance_id = await instance(relay)
    flood = [await RawSocket.open(relay.apps) for _ in range(12)]
    for app in flood:
        await app.send(Connect(instance_id, "guessed"))
    for _ in range(3):
        await home.expect_type(FrameType.CHANNEL_OPEN)
    refused = [
        answer.code
        for answer in await asyncio.gather(
            *(app.expect(Error, 2) for app in flood), return_exceptions=True
        )
        if isinstance(answer, Error)
    ]
    assert refused == [ErrorCode.RATE_LIMITED] * 9
    elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    async with connect(relay.apps, additional_headers=elsewhere, compression=None) as socket:
        phone = RawSocket(socket)
        await phone.send(Connect(instance_id, "token"))
        await accept(home)
        await phone.expect(ConnectAck)
    for peer in (*flood, home):
        peer.vanish()


@pytest.mark.covers("R58", "R59")
async def test_streams_and_refusals_of_the_instance_pass_in_order(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    bodies = [b'{"id":"1","status":429}', b'{"id":"2","status":503}']
    bodies += [b'{"id":"3","stream":true,"body":"%d"}' % n for n in range(300)]
    bodies += [b'{"id":"3","stream_done":true}']
    for body in bodies:
        await home.send_frame(FrameType.DATA, channel, body)
    for body in bodies:
        assert (await app.expect_type(FrameType.DATA)).payload == body
    for peer in (app, home):
        await peer.socket.close()


async def test_an_instance_that_leaves_while_an_app_sends(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)

    async def send() -> None:
        with pytest.raises(ConnectionClosed):
            while True:
                await app.send_frame(FrameType.DATA, channel, b"x" * 1000)

    sending = asyncio.create_task(send())
    await home.expect_type(FrameType.DATA)
    home.vanish()
    assert (await app.expect(ChannelClose)).channel_id == channel
    assert await app.closed() == 1000
    await sending
