"""Shutting down: everybody is told first, nobody is let in, the process ends in time with 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest
from websockets.exceptions import ConnectionClosed

from relay.wire.frames import (
    ChannelClose,
    Connect,
    Drain,
    Error,
    ErrorCode,
    FrameType,
    Register,
    parse,
)
from tests.raw_socket import RawSocket, raw_app, raw_instance
from tests.reference_instance import ReferenceInstance, Timing
from tests.relay_server.channels import connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, licence
from tests.waiting import until, until_async


async def in_thread(relay: Relay, sig: int = signal.SIGTERM) -> asyncio.Task[tuple[int, float]]:
    """Stops the relay meanwhile; exit status and seconds."""
    return asyncio.create_task(asyncio.to_thread(relay.stop, sig))


@pytest.mark.covers("R63", "F49")
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
async def test_everybody_is_told_and_the_process_ends_in_time(
    new_relay: NewRelay, sig: signal.Signals
) -> None:
    relay = new_relay()  # drain timeout 2 s
    homes = [await instance(relay) for _ in range(3)]
    apps = [await connected(relay, *home) for home in homes for _ in range(2)]
    stopping = await in_thread(relay, sig)
    for peer in [home for home, _ in homes] + [app for app, _ in apps]:
        await peer.expect(Drain)
    # Nobody leaves, so it waits for the drain timeout and then closes what is left.
    codes = [await peer.closed() for peer in [h for h, _ in homes] + [a for a, _ in apps]]
    assert set(codes) == {1012}
    status, seconds = await stopping
    assert status == 0
    assert 1.9 < seconds < 3.0


@pytest.mark.covers("R63")
async def test_it_ends_at_once_when_all_have_left(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_DRAIN_TIMEOUT="30s")
    status, seconds = relay.stop()
    assert status == 0
    assert seconds < 2
    relay.start()
    async with ReferenceInstance(
        relay.instances, license_token=licence(), valid_tokens={"t"}, timing=Timing()
    ) as home:
        app, channel = await raw_app(relay.apps, await home.registered(), "t")
        stopping = await in_thread(relay)
        assert (await app.frame()).type is FrameType.DRAIN
        assert (await app.expect(ChannelClose)).channel_id == channel
        assert await app.closed() == 1000
        status, seconds = await stopping
    assert (status, seconds < 5) == (0, True)


@pytest.mark.covers("R64", "F49")
async def test_during_the_drain_nobody_is_let_in(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_ECHO_TIMEOUT="9s")
    lid = fresh("lic")
    home, ack = await raw_instance(relay.instances, Register(licence(lid=lid)))
    app, channel = await connected(relay, home, ack.instance_id)
    waiting = await RawSocket.open(relay.apps)
    await waiting.send(Connect(ack.instance_id, "token"))
    await home.expect_type(FrameType.CHANNEL_OPEN)
    early = await RawSocket.open(relay.apps)
    stopping = await in_thread(relay)
    await home.expect(Drain)
    assert (await waiting.expect(Error)).code == ErrorCode.SERVER_DRAINING

    resume = Register(licence(lid=lid), ack.session_token, ack.instance_id)
    for url, first in (
        (relay.instances, Register(licence())),
        (relay.instances, resume),
        (relay.apps, Connect(ack.instance_id, "token")),
    ):
        async with await RawSocket.open(url) as newcomer:
            await newcomer.send(first)
            frame = await newcomer.frame()
            assert frame.type is FrameType.ERROR  # the first and only frame: no ACK
            assert parse(Error, frame.payload).code == ErrorCode.SERVER_DRAINING
            assert await newcomer.closed() is not None
    await early.send(Connect(ack.instance_id, "token"))
    assert (await early.expect(Error)).code == ErrorCode.SERVER_DRAINING
    assert relay.get("/healthz").status_code == 200
    assert relay.get("/readyz").json()["blocking"][0]["fact"] == "draining"

    # What is under way goes on until the instance leaves.
    assert (await app.frame()).type is FrameType.DRAIN
    await home.expect(ChannelClose)  # of the app that waited
    await app.send_frame(FrameType.DATA, channel, b"question")
    assert (await home.expect_type(FrameType.DATA)).payload == b"question"
    await home.send_frame(FrameType.DATA, channel, b"answer")
    assert (await app.expect_type(FrameType.DATA)).payload == b"answer"
    await home.socket.close()
    assert (await app.expect(ChannelClose)).channel_id == channel
    assert (await stopping)[0] == 0


@pytest.mark.covers("R65", "R66", "F49")
async def test_an_instance_is_drained_once_and_resumes_with_the_next_process(
    new_relay: NewRelay,
) -> None:
    """Acknowledging and draining again would make an instance dial 140 times a second."""
    relay = new_relay()
    blocker, _ = await instance(relay)  # stays, so that the drain lasts its two seconds
    async with ReferenceInstance(
        relay.instances, license_token=licence(), timing=Timing(backoff=0.3)
    ) as home:
        identity = await home.registered()
        assert (await (await in_thread(relay)))[0] == 0
        assert home.registrations == 1
        assert len(home.seen(FrameType.DRAIN)) == 1
        assert home.ends.count("drained") == 1
        drained = home.connections
        assert drained < 10
        errors = {error.code for error in home.errors}
        assert errors == {ErrorCode.SERVER_DRAINING}
        relay.start()
        await until_async(lambda: home.registrations == 2, 30)
        assert home.instance_id == identity
        assert {error.code for error in home.errors} == errors  # the resume was accepted
    blocker.vanish()


@pytest.mark.covers("R63")
async def test_a_second_signal_ends_it_at_once(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_DRAIN_TIMEOUT="30s")
    home, _ = await instance(relay)
    stopping = await in_thread(relay)
    await home.expect(Drain)
    assert relay.process is not None
    began = time.monotonic()
    relay.process.send_signal(signal.SIGTERM)
    assert (await stopping)[0] == 0
    assert time.monotonic() - began < 2


@pytest.mark.covers("R63")
async def test_peers_that_do_not_read_do_not_hold_it_up(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_DRAIN_TIMEOUT="1s")
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    app.stop_reading()
    for _ in range(100):
        await home.send_frame(FrameType.DATA, channel, bytes(60_000))
    home.stop_reading()
    silent = await RawSocket.open(relay.apps)
    with contextlib.suppress(ConnectionClosed):
        for _ in range(3):
            await app.send_frame(FrameType.DATA, channel, bytes(60_000))
    status, seconds = await (await in_thread(relay))
    assert status == 0
    assert seconds < 2.0
    for peer in (home, app, silent):
        peer.vanish()


async def test_a_registration_under_way_is_not_acknowledged(new_relay: NewRelay) -> None:
    """The storm at the moment of the signal: each answer is either an ACK followed by one DRAIN, or
    SERVER_DRAINING."""
    relay = new_relay(PULSE_RELAY_DRAIN_TIMEOUT="1s")
    stay, _ = await instance(relay)
    sockets = [await RawSocket.open(relay.instances) for _ in range(60)]
    stopping = await in_thread(relay)
    for socket in sockets:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(Register(licence()))
    outcomes = set()
    for socket in sockets:
        with contextlib.suppress(ConnectionClosed):
            frames = [(await socket.frame()).type]
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frames.append((await socket.frame()).type)
            outcomes.add(tuple(frames))
    assert outcomes <= {(FrameType.REGISTER_ACK, FrameType.DRAIN), (FrameType.ERROR,)}
    assert (await stopping)[0] == 0
    stay.vanish()


def test_stopping_while_it_starts(new_relay: NewRelay) -> None:
    relay = new_relay(start=False)
    process = relay.launch()
    until(lambda: process.poll() is not None or relay.healthy(), 20, every=0.005)
    assert relay.stop()[0] == 0
