"""Instances that may not be reached, and credentials that run out under a live connection."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from relay.server.models import BlockedInstance, LicenceBinding
from relay.wire.frames import ChannelClose, Connect, Error, ErrorCode, FrameType, Register
from relay.wire.instance_id import of_host, of_licence
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.channels import connected
from tests.relay_server.database_proxy import DatabaseProxy
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, grant, lease, licence
from tests.waiting import until_async


def _in_sqlite(relay: Relay, statement: str, instance_id: str) -> None:
    database = sqlite3.connect(relay.data_dir / "relay.sqlite3")
    with database:
        database.execute(statement, [instance_id])
    database.close()


async def _in_postgresql(work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    await asyncio.to_thread(run)


async def block(relay: Relay, instance_id: str, *, notify: bool) -> None:
    def write() -> None:
        BlockedInstance.objects.create(instance_id=instance_id)
        if notify:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('pulsecloud_relay', %s)", [instance_id])

    insert = (
        "INSERT INTO relay_server_blockedinstance (instance_id, since) VALUES (?, '2026-01-01')"
    )
    if relay.standalone:
        _in_sqlite(relay, insert, instance_id)
    else:
        await _in_postgresql(write)


async def unblock(relay: Relay, instance_id: str) -> None:
    if relay.standalone:
        delete = "DELETE FROM relay_server_blockedinstance WHERE instance_id = ?"
        _in_sqlite(relay, delete, instance_id)
    else:
        rows = BlockedInstance.objects.filter(pk=instance_id)
        await _in_postgresql(rows.delete)


async def refusal(url: str, first: Register | Connect) -> str:
    async with await RawSocket.open(url) as socket:
        await socket.send(first)
        error = await socket.expect(Error)
        assert await socket.closed() is not None
        return error.code


async def test_a_blocked_instance_is_refused_on_every_door_and_thrown_out(
    new_on_either: NewRelay,
) -> None:
    """A lease outlives a suspension by up to a day; the block does not wait for it."""
    relay = new_on_either(PULSE_RELAY_SWEEP_INTERVAL="500ms")
    host = f"{fresh('t').replace('_', '-')}.cloud.example.test"
    home, ack = await raw_instance(relay.instances, Register(lease(instance_host=host)))
    app, channel = await connected(relay, home, ack.instance_id)
    waiting = await RawSocket.open(relay.apps)
    await waiting.send(Connect(ack.instance_id, "token"))
    await home.expect_type(FrameType.CHANNEL_OPEN)
    bystander, _ = await raw_instance(relay.instances, Register(licence()))

    await block(relay, ack.instance_id, notify=False)  # a lost notification costs one sweep
    assert await home.closed() == 1000  # no ERROR was sent: `closed` reads on to the end
    assert (await app.expect(ChannelClose)).channel_id == channel
    assert await app.closed() == 1000
    assert (await waiting.expect(Error)).code == ErrorCode.INSTANCE_NOT_FOUND
    assert relay.gauges() == (1, 0)

    asked = Register(lease(instance_host=host))
    resume = Register(lease(instance_host=host), ack.session_token, ack.instance_id)
    connect = Connect(ack.instance_id, "token")
    assert await refusal(relay.instances, asked) == ErrorCode.LICENSE_EXPIRED
    assert await refusal(relay.instances, resume) == ErrorCode.AUTH_FAILED
    assert await refusal(relay.apps, connect) == ErrorCode.INSTANCE_NOT_FOUND
    another = Register(lease(instance_host=f"{fresh('x')}.example"))
    free, _ = await raw_instance(relay.instances, another)

    await unblock(relay, ack.instance_id)
    home, again = await raw_instance(relay.instances, resume)  # its session was kept
    assert again.instance_id == ack.instance_id
    app, _ = await connected(relay, home, ack.instance_id)
    for peer in (app, home, bystander, free):
        await peer.socket.close()


async def test_a_notification_throws_out_at_once(full_relay: Relay) -> None:
    """With the sweep half a minute away."""
    home, ack = await raw_instance(full_relay.instances, Register(licence()))
    began = time.monotonic()
    await block(full_relay, ack.instance_id, notify=True)
    assert await home.closed() == 1000
    assert time.monotonic() - began < 2


async def test_a_block_that_meets_a_registration(full_relay: Relay) -> None:
    """Whatever the order of their steps, nobody is live and blocked afterwards."""
    sockets = []
    for n in range(40):
        lid = fresh("lic")
        socket = await RawSocket.open(full_relay.instances)
        sockets.append(socket)
        first = asyncio.create_task(socket.send(Register(licence(lid=lid))))
        await asyncio.sleep(n % 5 / 1000)
        await block(full_relay, of_licence(lid), notify=True)
        await first
    for socket in sockets:
        assert await socket.closed() is not None
    await until_async(lambda: full_relay.gauges()[0] == 0)


async def test_a_block_forgotten_during_an_outage_is_found_afterwards(
    new_full_relay: NewRelay, database_name: str
) -> None:
    async with DatabaseProxy(database_name) as proxy:
        relay = await asyncio.to_thread(new_full_relay, DATABASE_URL=proxy.url)
        home, ack = await raw_instance(relay.instances, Register(licence()))
        await proxy.cut()
        await block(relay, ack.instance_id, notify=True)  # nobody hears it
        assert await home.silent(0.5)
        await proxy.restore()
        assert await home.closed(seconds=10) == 1000


@pytest.mark.parametrize("make", [lease, grant])
async def test_a_connection_ends_when_its_credential_does(relay: Relay, make) -> None:  # type: ignore[no-untyped-def]
    """Without an ERROR: the instance is back in about 5 s with a fresh credential."""
    home, ack = await raw_instance(relay.instances, Register(make(exp=int(time.time()) + 3)))
    app, channel = await connected(relay, home, ack.instance_id)
    began = time.monotonic()
    assert await home.closed(seconds=6) == 1000
    assert 0.5 < time.monotonic() - began < 5
    assert (await app.expect(ChannelClose)).channel_id == channel
    assert await app.closed() == 1000


async def test_an_expired_licence_has_its_grace(relay: Relay) -> None:
    """The seven days for which the instance itself keeps it."""
    day = 86400
    lid = fresh("lic")
    recent = Register(licence(lid=lid, exp=int(time.time()) - 6 * day))
    home, _ = await raw_instance(relay.instances, recent)
    assert await home.silent(0.2)
    await home.socket.close()
    old = Register(licence(lid=lid, exp=int(time.time()) - 8 * day))
    assert await refusal(relay.instances, old) == ErrorCode.LICENSE_EXPIRED


@pytest.mark.covers("F38")
async def test_credentials_that_end_together_do_not_close_together(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_EXPIRY_JITTER="2s")
    end = int(time.time()) + 2
    homes = [(await raw_instance(relay.instances, Register(lease(exp=end))))[0] for _ in range(24)]

    async def moment(home: RawSocket) -> float:
        assert await home.closed(seconds=10) == 1000
        return time.monotonic()

    moments = sorted(await asyncio.gather(*(moment(home) for home in homes)))
    assert moments[-1] - moments[0] > 0.8


@pytest.mark.covers("R89")
async def test_a_clock_that_jumps_cuts_nobody_off(new_relay: NewRelay, tmp_path: Path) -> None:
    """The relay's wall clock is moved under it, by days, forth and back."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(
        "import time\n_true = time.time\n"
        f"time.time = lambda: _true() + float(open({str(offset)!r}).read())\n"
    )
    relay = new_relay(PYTHONPATH=str(tmp_path), PULSE_RELAY_SWEEP_INTERVAL="200ms")
    lid = fresh("lic")
    home, ack = await raw_instance(relay.instances, Register(lease()))
    app, channel = await connected(relay, home, ack.instance_id)
    for days in (2, -2, 400):
        offset.write_text(str(days * 86400))
        if days > 0:  # the new clock is in force: a lease of this hour is over
            late = Register(lease(instance_host="late.example"))
            assert await refusal(relay.instances, late) == ErrorCode.LICENSE_EXPIRED
        await asyncio.sleep(0.5)
        await app.send_frame(FrameType.DATA, channel, b"x")
        assert (await home.expect_type(FrameType.DATA)).payload == b"x"
    offset.write_text("0")
    again, _ = await raw_instance(relay.instances, Register(licence(lid=lid)))
    for peer in (app, home, again):
        await peer.socket.close()


async def test_a_licence_bound_to_an_organisation_keeps_its_instance_id(
    full_relay: Relay,
) -> None:
    host = f"{fresh('t').replace('_', '-')}.cloud.example.test"
    lid = fresh("lic")
    home, hosted = await raw_instance(full_relay.instances, Register(lease(instance_host=host)))
    assert hosted.instance_id == of_host(host)
    binding = LicenceBinding(licence_id=lid, instance_id=hosted.instance_id)
    await _in_postgresql(binding.save)
    # Now with the licence: the same id, fresh and as a resume of the lease's session.
    resume = Register(licence(lid=lid), hosted.session_token, hosted.instance_id)
    home, bound = await raw_instance(full_relay.instances, resume)
    assert bound.instance_id == hosted.instance_id
    await home.socket.close()
    await until_async(lambda: full_relay.gauges()[0] == 0)
    home, bound = await raw_instance(full_relay.instances, Register(licence(lid=lid)))
    assert bound.instance_id == hosted.instance_id
    await home.socket.close()
