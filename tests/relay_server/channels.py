"""Steps that many tests take: an instance that accepts a channel, an app that is connected."""

from __future__ import annotations

import asyncio

from relay.wire.frames import ChannelOpen, Connect, ConnectAck, FrameType, Register, encode, parse
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.process import Relay
from tests.relay_server.signing import licence


async def instance(relay: Relay) -> tuple[RawSocket, str]:
    """A registered instance that does nothing by itself, and its id."""
    socket, ack = await raw_instance(relay.instances, Register(licence()))
    return socket, ack.instance_id


async def accept(socket: RawSocket) -> ChannelOpen:
    """Takes the next CHANNEL_OPEN and echoes it, as an instance that knows the token."""
    frame = await socket.expect_type(FrameType.CHANNEL_OPEN)
    asked = parse(ChannelOpen, frame.payload)
    assert asked.channel_id == frame.channel
    await socket.send(encode(FrameType.CHANNEL_OPEN, frame.channel, frame.payload))
    return asked


async def connected(
    relay: Relay, socket: RawSocket, instance_id: str, token: str = "token"
) -> tuple[RawSocket, int]:
    """An app that this raw instance accepted, and its channel."""
    app = await RawSocket.open(relay.apps)
    opened = asyncio.create_task(accept(socket))
    await app.send(Connect(instance_id, token))
    ack = await app.expect(ConnectAck)
    assert (await opened).channel_id == ack.channel_id
    assert ack.instance_id == instance_id
    return app, ack.channel_id
