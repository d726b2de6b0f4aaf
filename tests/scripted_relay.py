"""A relay that does exactly what one test says, for answers that the real relay never gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from relay.wire.frames import MAX_MESSAGE, Connect, ConnectAck, Register, RegisterAck
from tests.raw_socket import RawSocket

Script = Callable[[RawSocket], Awaitable[None]]


@asynccontextmanager
async def scripted_relay(script: Script) -> AsyncIterator[str]:
    """Runs `script` for every connection and closes it afterwards; yields the address without a
    path. A failed assertion of a script fails the test."""
    failures: list[Exception] = []

    async def handle(connection: ServerConnection) -> None:
        try:
            await script(RawSocket(connection))
        except ConnectionClosed:
            pass
        except Exception as failure:
            failures.append(failure)

    async with serve(
        handle, "127.0.0.1", 0, compression=None, max_size=MAX_MESSAGE, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"
    if failures:
        raise failures[0]


async def acknowledge(
    peer: RawSocket, *, instance_id: str = "relay_0123456789abcdef", session: str = "session"
) -> Register:
    """Takes the REGISTER of an instance and acknowledges it."""
    register = await peer.expect(Register)
    await peer.send(RegisterAck(instance_id, session, 4102444800))
    return register


async def accept(peer: RawSocket, *, channel: int = 7) -> Connect:
    """Takes the CONNECT of an app and acknowledges it."""
    connect = await peer.expect(Connect)
    await peer.send(ConnectAck(channel, connect.instance_id))
    return connect
