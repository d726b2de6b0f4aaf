"""A database that is gone or hangs: refused at once, nothing stranded, and frames go on (F32)."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest

from relay.wire.frames import Connect, Error, ErrorCode, FrameType, Register
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.channels import connected
from tests.relay_server.database_proxy import DatabaseProxy
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, licence
from tests.waiting import until_async


async def refused(url: str, first: Register | Connect) -> tuple[str, float]:
    async with await RawSocket.open(url) as socket:
        began = time.monotonic()
        await socket.send(first)
        code = (await socket.expect(Error, 15)).code
        return code, time.monotonic() - began


async def passes(app: RawSocket, home: RawSocket, channel: int) -> float:
    """Seconds that a frame takes from the app to the instance."""
    began = time.monotonic()
    await app.send_frame(FrameType.DATA, channel, b"x")
    await home.expect_type(FrameType.DATA)
    return time.monotonic() - began


@pytest.mark.covers("F32")
@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_without_the_database_nobody_is_let_in_and_nobody_is_put_out(
    new_full_relay: NewRelay, database_name: str, how: str
) -> None:
    async with DatabaseProxy(database_name) as proxy:
        relay: Relay = await asyncio.to_thread(
            new_full_relay, DATABASE_URL=proxy.url, PULSE_RELAY_DATABASE_TIMEOUT="3s"
        )
        lid = fresh("lic")
        home, ack = await raw_instance(relay.instances, Register(licence()))
        app, channel = await connected(relay, home, ack.instance_id)
        gone, session = await raw_instance(relay.instances, Register(licence(lid=lid)))
        await gone.socket.close()
        resume = Register(licence(lid=lid), session.session_token, session.instance_id)
        await (proxy.cut() if how == "cut" else asyncio.to_thread(proxy.stall))

        attempts = asyncio.gather(
            refused(relay.instances, Register(licence())),
            refused(relay.instances, resume),
            refused(relay.apps, Connect(ack.instance_id, "token")),
        )
        worst = 0.0
        while not attempts.done():
            worst = max(worst, await passes(app, home, channel))
            await asyncio.sleep(0.02)
        for code, seconds in await attempts:
            assert code == ErrorCode.INTERNAL_ERROR
            assert seconds < 8
        assert worst < 1.5  # no frame waited for the database
        ready = await asyncio.to_thread(relay.get, "/readyz")
        assert ready.status_code == 503
        assert "database_unreachable" in ready.text
        assert (await asyncio.to_thread(relay.get, "/healthz")).status_code == 200

        await proxy.restore()

        async def ready_again() -> bool:
            return (await asyncio.to_thread(relay.get, "/readyz")).status_code == 200

        await until_async(ready_again, 15)
        back, resumed = await raw_instance(relay.instances, resume)
        assert resumed.instance_id == session.instance_id
        for peer in (app, home, back):
            await peer.socket.close()


async def test_it_ends_in_time_while_the_database_hangs(
    new_full_relay: NewRelay, database_name: str
) -> None:
    async with DatabaseProxy(database_name) as proxy:
        relay: Relay = await asyncio.to_thread(new_full_relay, DATABASE_URL=proxy.url)
        home, _ = await raw_instance(relay.instances, Register(licence()))
        proxy.stall()
        stuck = await RawSocket.open(relay.instances)
        await stuck.send(Register(licence()))
        await asyncio.sleep(0.1)
        status, seconds = await asyncio.to_thread(relay.stop)
        assert status == 0
        assert seconds < 3
        for peer in (home, stuck):
            peer.vanish()


@pytest.mark.covers("F32")
async def test_a_locked_sqlite_file_refuses_and_recovers(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_DATABASE_TIMEOUT="3s")
    home, ack = await raw_instance(relay.instances, Register(licence()))
    app, channel = await connected(relay, home, ack.instance_id)
    lock = sqlite3.connect(relay.data_dir / "relay.sqlite3", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    attempt = asyncio.create_task(refused(relay.instances, Register(licence())))
    worst = 0.0
    while not attempt.done():
        worst = max(worst, await passes(app, home, channel))
        await asyncio.sleep(0.02)
    assert (await attempt)[0] == ErrorCode.INTERNAL_ERROR
    assert worst < 1.5
    lock.execute("ROLLBACK")
    lock.close()

    async def registers() -> bool:
        async with await RawSocket.open(relay.instances) as socket:
            await socket.send(Register(licence()))
            return (await socket.frame(15)).type is FrameType.REGISTER_ACK

    await until_async(registers, 15)
    for peer in (app, home):
        await peer.socket.close()
