"""Resuming a session: same id, a new token each time, and never a licence verdict. On SQLite and on
PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest
from websockets.exceptions import ConnectionClosed

from relay.wire.frames import Error, ErrorCode, Register, RegisterAck
from tests.raw_socket import RawSocket, raw_app
from tests.reference_instance import ReferenceInstance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, grant, lease, licence
from tests.waiting import until_async


async def visit(relay: Relay, register: Register) -> RegisterAck:
    """Registers and leaves."""
    async with await RawSocket.open(relay.instances) as socket:
        await socket.send(register)
        return await socket.expect(RegisterAck)


async def refusal(relay: Relay, register: Register) -> str:
    async with await RawSocket.open(relay.instances) as socket:
        await socket.send(register)
        return (await socket.expect(Error)).code


def resume(ack: RegisterAck, credential: str, token: str | None = None) -> Register:
    return Register(credential, ack.session_token if token is None else token, ack.instance_id)


@pytest.mark.covers("R22", "R23", "R24", "R25", "R66", "F40")
async def test_a_session_is_resumed_once_and_outlives_the_relay(new_on_either: NewRelay) -> None:
    relay = new_on_either()
    lid = fresh("lic")
    first = await visit(relay, Register(licence(lid=lid), instance_hint="secret"))
    second = await visit(relay, resume(first, licence(lid=lid)))
    assert second.instance_id == first.instance_id
    assert second.session_token != first.session_token
    assert await refusal(relay, resume(first, licence(lid=lid))) == ErrorCode.AUTH_FAILED

    relay.kill()  # the session was written before its REGISTER_ACK went out
    relay.start()
    third = await visit(relay, resume(second, licence(lid=lid)))
    assert third.instance_id == first.instance_id

    assert relay.stop()[0] == 0
    relay.start()
    fourth = await visit(relay, resume(third, licence(lid=lid)))
    assert fourth.instance_id == first.instance_id
    unknown = Register(licence(lid=lid), "token", "relay_0123456789abcdef")
    assert await refusal(relay, unknown) == ErrorCode.INSTANCE_NOT_FOUND
    malformed = Register(licence(lid=lid), "token", "relay_' OR 1=1")
    assert await refusal(relay, malformed) == ErrorCode.INSTANCE_NOT_FOUND


@pytest.mark.covers("R24")
async def test_a_resume_with_a_bad_credential_is_told_auth_failed(on_either: Relay) -> None:
    """Told LICENSE_*, an instance would keep its session and resume for ever."""
    relay = on_either
    lid = fresh("lic")
    ack = await visit(relay, Register(licence(lid=lid)))
    for bad in (
        "",
        "nonsense",
        licence(lid=lid, exp=1_700_000_000),
        licence(lid=lid, tier="free"),
        licence(),  # a good one, of somebody else: a stolen session opens nothing
        grant(),
        lease(),
    ):
        assert await refusal(relay, resume(ack, bad)) == ErrorCode.AUTH_FAILED
    assert (await visit(relay, resume(ack, licence(lid=lid)))).instance_id == ack.instance_id


async def test_which_credentials_continue_a_session(on_either: Relay) -> None:
    relay = on_either
    lid, host = fresh("lic"), f"{fresh('t')}.cloud.example.test"
    v5 = await visit(relay, Register(licence(lid=lid)))
    v6 = await visit(relay, resume(v5, grant(lid=lid, iid="inst_1")))
    assert v6.instance_id == v5.instance_id  # the licence was exchanged for a grant
    other = resume(v6, grant(lid=lid, iid="inst_2"))
    assert await refusal(relay, other) == ErrorCode.AUTH_FAILED
    hosted = await visit(relay, Register(lease(instance_host=host)))
    renewed = await visit(relay, resume(hosted, lease(instance_host=host)))
    assert renewed.instance_id == hosted.instance_id
    elsewhere = resume(renewed, lease(instance_host="t-other.cloud.example.test"))
    assert await refusal(relay, elsewhere) == ErrorCode.AUTH_FAILED


async def test_a_session_slides_and_runs_out(new_on_either: NewRelay) -> None:
    relay = new_on_either(PULSE_RELAY_SESSION_LIFE="1500ms", PULSE_RELAY_SWEEP_INTERVAL="200ms")
    lid = fresh("lic")
    socket = await RawSocket.open(relay.instances)
    await socket.send(Register(licence(lid=lid)))
    ack = await socket.expect(RegisterAck)
    assert abs(ack.expires_at - time.time()) < 5
    await asyncio.sleep(2.2)  # longer than its life, but it is connected
    socket.vanish()
    ack = await visit(relay, resume(ack, licence(lid=lid)))
    await asyncio.sleep(1.7)  # really over
    assert await refusal(relay, resume(ack, licence(lid=lid))) == ErrorCode.AUTH_FAILED


@pytest.mark.covers("R23")
async def test_a_real_instance_comes_back_fresh_within_a_second(new_relay: NewRelay) -> None:
    relay = new_relay()
    credential = licence()
    async with ReferenceInstance(relay.instances, license_token=credential) as instance:
        identity = await instance.registered()
        instance.session_token = "wrong"
        instance.cut()
        await until_async(lambda: instance.registrations == 2)
        assert instance.instance_id == identity
        assert [e.code for e in instance.errors] == [ErrorCode.AUTH_FAILED]
        assert instance.pauses[-1] == 0  # a resume that was refused is not waited for

        relay.kill()
        for path in relay.data_dir.iterdir():
            path.unlink()
        relay.start()
        await until_async(lambda: instance.registrations == 3, 10)
        assert instance.instance_id == identity
        assert instance.errors[-1].code == ErrorCode.INSTANCE_NOT_FOUND


@pytest.mark.covers("R26")
async def test_session_tokens_are_nowhere_in_clear(new_relay: NewRelay) -> None:
    relay = new_relay(PULSECLOUD_LOG_LEVEL="DEBUG")
    lid = fresh("lic")
    credential = licence(lid=lid)
    acks = [await visit(relay, Register(credential))]
    acks.append(await visit(relay, resume(acks[0], credential)))
    await refusal(relay, resume(acks[0], credential))
    database = sqlite3.connect(relay.data_dir / "relay.sqlite3")
    stored = repr(list(database.iterdump()))
    database.close()
    files = b"".join(p.read_bytes() for p in relay.data_dir.iterdir())
    assert acks[1].instance_id in stored
    for secret in (acks[0].session_token, acks[1].session_token, credential):
        assert secret not in stored
        assert secret.encode() not in files
        assert secret not in relay.log()


@pytest.mark.covers("R17", "R25")
async def test_an_instance_and_its_phones_come_back_after_a_kill(new_on_either: NewRelay) -> None:
    relay = new_on_either()
    async with ReferenceInstance(
        relay.instances, license_token=licence(), valid_tokens={"token"}
    ) as instance:
        identity = await instance.registered()
        app, _ = await raw_app(relay.apps, identity, "token")
        relay.kill()
        with pytest.raises(ConnectionClosed):
            await app.frame()
        relay.start()
        await until_async(lambda: instance.registrations == 2, 10)
        assert instance.instance_id == identity
        assert instance.errors == []  # it resumed
        app, channel = await raw_app(relay.apps, identity, "token")
        assert channel == 1
        await app.socket.close()
