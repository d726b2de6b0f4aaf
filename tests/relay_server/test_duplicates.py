"""Two connections with one instance id (relay-protocol section 8, F40)."""

from __future__ import annotations

import asyncio

import pytest

from relay.wire.frames import (
    ChannelClose,
    Connect,
    Error,
    ErrorCode,
    FrameType,
    Register,
)
from tests.raw_socket import RawSocket, raw_app, raw_instance
from tests.reference_instance import ReferenceInstance, Timing
from tests.relay_server.channels import accept, connected
from tests.relay_server.process import Relay
from tests.relay_server.signing import fresh, licence
from tests.waiting import until_async


@pytest.mark.covers("R37", "R38", "R39", "R84", "F40")
async def test_a_resume_takes_over_and_the_late_end_of_the_old_one_changes_nothing(
    relay: Relay,
) -> None:
    instances, apps = relay.gauges()
    lid = fresh("lic")
    old, ack = await raw_instance(relay.instances, Register(licence(lid=lid)))
    app, channel = await connected(relay, old, ack.instance_id)
    resume = Register(licence(lid=lid), ack.session_token, ack.instance_id)
    new, again = await raw_instance(relay.instances, resume)
    assert again.instance_id == ack.instance_id
    assert relay.gauges() == (instances + 1, apps)

    assert (await app.expect(ChannelClose)).channel_id == channel
    assert await app.closed() == 1000
    assert (await old.expect(Error)).code == ErrorCode.DUPLICATE_INSTANCE
    assert await old.closed() == 1000  # an ERROR alone would leave it connected

    app, channel = await connected(relay, new, ack.instance_id)
    assert channel == 1  # numbers begin anew with the connection
    await app.send_frame(FrameType.DATA, channel, b"to the new one")
    assert (await new.expect_type(FrameType.DATA)).payload == b"to the new one"
    for peer in (app, new):
        await peer.socket.close()
    await until_async(lambda: relay.gauges() == (instances, apps))


@pytest.mark.covers("R38")
async def test_an_old_connection_that_hangs_is_replaced_at_once(relay: Relay) -> None:
    """After a network cut the relay may still hold the dead connection: nobody waits for it."""
    lid = fresh("lic")
    old, ack = await raw_instance(relay.instances, Register(licence(lid=lid)))
    old.stop_reading()
    resume = Register(licence(lid=lid), ack.session_token, ack.instance_id)
    new, _ = await raw_instance(relay.instances, resume)
    app = await RawSocket.open(relay.apps)
    opened = asyncio.create_task(accept(new))
    await app.send(Connect(ack.instance_id, "token"))
    await opened
    await asyncio.sleep(2.5)  # longer than the relay lets a closed connection linger
    old.vanish()
    async with app, await RawSocket.open(relay.apps) as another:
        opened = asyncio.create_task(accept(new))
        await another.send(Connect(ack.instance_id, "token"))
        await opened
    await new.socket.close()


async def test_the_same_installation_starting_fresh_takes_over(relay: Relay) -> None:
    lid = fresh("lic")
    asked = Register(licence(lid=lid), identity_pub_key="key of one installation")
    old, _ = await raw_instance(relay.instances, asked)
    new, _ = await raw_instance(relay.instances, asked)
    assert (await old.expect(Error)).code == ErrorCode.DUPLICATE_INSTANCE
    assert await old.closed() == 1000
    await new.socket.close()


async def test_another_installation_is_refused_while_the_first_is_alive(relay: Relay) -> None:
    """One v5 licence on two machines without an instance secret: the first one keeps its phones."""
    lid = fresh("lic")
    first, ack = await raw_instance(
        relay.instances, Register(licence(lid=lid), identity_pub_key="one")
    )
    for identity in ("another", ""):
        async with await RawSocket.open(relay.instances) as stranger:
            await stranger.send(Register(licence(lid=lid), identity_pub_key=identity))
            assert (await stranger.expect(Error)).code == ErrorCode.DUPLICATE_INSTANCE
            assert await stranger.closed() is not None
    app, _ = await connected(relay, first, ack.instance_id)
    # Its session was not touched either.
    resume = Register(licence(lid=lid), ack.session_token, ack.instance_id)
    again, _ = await raw_instance(relay.instances, resume)
    for peer in (app, again):
        await peer.socket.close()


@pytest.mark.covers("R40", "F40")
async def test_live_twins_stop_throwing_each_other_out(relay: Relay) -> None:
    """A cloned disk: both have the same identity. After three takeovers the live one stays."""
    lid = fresh("lic")
    before = relay.metrics()["pulse_relay_takeovers_total"]
    timing = Timing(backoff=0.1)

    def twin() -> ReferenceInstance:
        return ReferenceInstance(
            relay.instances,
            license_token=licence(lid=lid),
            identity_pub_key="cloned",
            timing=timing,
        )

    async with twin() as one, twin() as two:
        await until_async(
            lambda: any(
                "DUPLICATE" in end for t in (one, two) for end in t.ends if "registration" in end
            )
        )
        await asyncio.sleep(1.5)  # a dozen more attempts
        assert relay.metrics()["pulse_relay_takeovers_total"] - before == 3
        assert one.is_registered != two.is_registered
        live = one if one.is_registered else two
        live.valid_tokens = {"token"}
        live._channels.valid_tokens = {"token"}  # type: ignore[union-attr]
        app, _ = await raw_app(relay.apps, live.instance_id, "token")
        await app.socket.close()


async def test_two_registrations_at_the_same_moment(relay: Relay) -> None:
    """Whoever is later wins; both have an answer, and one of them is live afterwards."""
    lid = fresh("lic")
    before = relay.gauges()[0]
    sockets = await asyncio.gather(*(RawSocket.open(relay.instances) for _ in range(8)))
    asked = Register(licence(lid=lid), identity_pub_key="same")
    await asyncio.gather(*(socket.send(asked) for socket in sockets))
    acks, refused = 0, 0
    for socket in sockets:
        frame = await socket.frame()
        acks += frame.type is FrameType.REGISTER_ACK
        refused += frame.type is FrameType.ERROR
    assert acks == 4  # the first, and three takeovers within a minute
    assert refused == 4
    assert relay.gauges()[0] == before + 1
    for socket in sockets:
        socket.vanish()
    await until_async(lambda: relay.gauges()[0] == before)
