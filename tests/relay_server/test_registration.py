"""A fresh registration: who is let in, under which id, and what everybody else is told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed

from relay.wire import instance_id
from relay.wire.frames import (
    Connect,
    Error,
    ErrorCode,
    FrameType,
    Register,
    RegisterAck,
    encode,
    message,
    parse,
)
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, grant, lease, licence
from tests.vectors import group, load, named
from tests.waiting import until_async


async def answer(relay: Relay, register: Register | bytes | str) -> RegisterAck | Error:
    """What the first frame is answered with."""
    async with await RawSocket.open(relay.instances) as socket:
        await socket.send(register)
        frame = await socket.frame()
        assert frame.channel == 0
        if frame.type is FrameType.REGISTER_ACK:
            return parse(RegisterAck, frame.payload)
        error = parse(Error, frame.payload)
        assert frame.type is FrameType.ERROR
        assert await socket.closed() is not None
        return error


async def code(relay: Relay, register: Register | bytes | str) -> str:
    got = await answer(relay, register)
    return got.code if isinstance(got, Error) else "accept"


async def registered(relay: Relay, register: Register) -> str:
    got = await answer(relay, register)
    assert isinstance(got, RegisterAck), got
    return got.instance_id


CREDENTIALS = [(kind, v) for kind in ("licenses", "grants", "leases") for v in group(kind)]


@pytest.mark.covers("R13", "R19", "R20", "R21", "R33", "R34", "R36")
@pytest.mark.parametrize(
    ("kind", "vector"),
    CREDENTIALS,
    ids=lambda v: v if v in ("licenses", "grants", "leases") else named(v),
)
async def test_every_published_credential_gets_its_verdict(
    relay: Relay, kind: str, vector: dict[str, str]
) -> None:
    verdict = vector["server_should"].split()[0]  # "accept until …": revocation comes later
    hint = fresh("hint") if kind != "leases" else ""
    got = await answer(relay, Register(vector["jwt"], instance_hint=hint))
    if verdict == "accept":
        assert isinstance(got, RegisterAck)
        assert got.session_token and got.expires_at > 1_700_000_000
    else:
        assert isinstance(got, Error)
        assert got.code == verdict
        assert vector["jwt"] not in got.message


@pytest.mark.covers("R14", "R15", "R16", "R18")
async def test_ids_tell_installations_apart(relay: Relay) -> None:
    lid = fresh("lic")
    bare = await registered(relay, Register(licence(lid=lid)))
    assert re.fullmatch(r"relay_[0-9a-f]{16}", bare)
    assert bare == await registered(
        relay, Register(licence(lid=lid), identity_pub_key="not base64!")
    )
    others = [
        await registered(relay, Register(licence(lid=lid), instance_hint="secret")),
        await registered(relay, Register(licence())),
        await registered(relay, Register(grant(lid=lid, iid="inst_a"))),
        await registered(relay, Register(grant(lid=lid, iid="inst_b"))),
    ]
    assert len({bare, *others}) == 5


@pytest.mark.covers("R31", "R32")
@pytest.mark.parametrize("vector", load()["hosted_instance_ids"], ids=lambda v: v["instance_host"])
async def test_a_lease_gives_the_id_of_its_signed_host(
    relay: Relay, vector: dict[str, str]
) -> None:
    host = vector["instance_host"]
    shouted = f"HTTPS://{host.upper()}:8443/path"
    for written, hint in ((host, ""), (host, "another.example"), (shouted, host)):
        token = lease(instance_host=written)
        assert await registered(relay, Register(token, instance_hint=hint)) == vector["instance_id"]


async def test_a_hint_that_is_not_the_host_is_counted(relay: Relay) -> None:
    before = relay.metrics()["pulse_relay_hint_differs_total"]
    await registered(relay, Register(lease(), instance_hint="someone-else.example"))
    assert relay.metrics()["pulse_relay_hint_differs_total"] == before + 1


@pytest.mark.covers("R35")
async def test_without_an_entitlement_key_only_leases_are_refused(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY="")
    assert await code(relay, Register(lease())) == ErrorCode.LICENSE_INVALID
    assert await code(relay, Register(licence())) == "accept"


async def test_the_grant_issuer_and_audience_are_checked_when_set(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_GRANT_ISSUER="issuer-a", PULSE_RELAY_GRANT_AUDIENCE="relay-a")
    good = {"iss": "issuer-a", "aud": ["x", "relay-a"]}
    assert await code(relay, Register(grant(**good))) == "accept"
    assert await code(relay, Register(grant(**{**good, "iss": "b"}))) == ErrorCode.LICENSE_INVALID
    assert await code(relay, Register(grant(**{**good, "aud": "b"}))) == ErrorCode.LICENSE_INVALID


@pytest.mark.covers("R06", "R07", "R28")
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (message(Connect("relay_0123456789abcdef", "token")), "AUTH_FAILED"),
        (encode(FrameType.DATA, 1, b"x"), "AUTH_FAILED"),
        (encode(FrameType.PING, 0), "AUTH_FAILED"),
        (b"", "AUTH_FAILED"),
        (b"\x01\x01", "AUTH_FAILED"),
        (b"\x02" + message(Register("x"))[1:], "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b"[]"), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b"[" * 60000), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b'{"license_token":7}'), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b'{"license_token":"a\\u0000"}'), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b'{"license_token":"\\ud800"}'), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b"\xff\xfe"), "AUTH_FAILED"),
        (encode(FrameType.REGISTER, 0, b"{}"), "LICENSE_INVALID"),
        (encode(FrameType.REGISTER, 0, b'{"license_token":null}'), "LICENSE_INVALID"),
        (encode(FrameType.REGISTER, 0, b'{ "unknown" : [1], "license_token" : "  " }'), "LICENSE_INVALID"),
        ("text", "AUTH_FAILED"),
    ],
)  # fmt: skip
async def test_a_first_message_that_is_no_registration(
    relay: Relay, first: bytes | str, expected: str
) -> None:
    before = relay.gauges()[0]
    assert await code(relay, first) == expected
    assert relay.gauges()[0] == before


@pytest.mark.covers("R06")
async def test_unknown_keys_are_ignored(relay: Relay) -> None:
    payload = b'{"color": {"a": [1]},\n "license_token": "%s"}' % licence().encode()
    assert await code(relay, encode(FrameType.REGISTER, 0, payload)) == "accept"


@pytest.mark.covers("R27", "R29")
async def test_silence_is_ended_and_nothing_is_sent_before(relay: Relay) -> None:
    before = relay.gauges()
    async with await RawSocket.open(relay.instances) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.frame(seconds=9)
    assert relay.gauges() == before


@pytest.mark.covers("R30")
async def test_a_second_register_changes_nothing(relay: Relay) -> None:
    socket, ack = await raw_instance(relay.instances, Register(licence()))
    async with socket:
        await socket.send(Register(licence()))
        assert await socket.silent(0.2)
        assert relay.gauges()[0] >= 1
        async with await RawSocket.open(relay.apps) as app:
            await app.send(Connect(ack.instance_id, "token"))
            await socket.expect_type(FrameType.CHANNEL_OPEN)


@pytest.mark.covers("R17")
async def test_the_same_registration_gives_the_same_id_after_losing_all_data(
    new_relay: NewRelay,
) -> None:
    relay = new_relay()
    lid, host = fresh("lic"), "t-lost.cloud.example.test"
    asked: list[Callable[[], Register]] = [
        lambda: Register(licence(lid=lid), instance_hint="secret"),
        lambda: Register(grant(lid=lid, iid="inst_1")),
        lambda: Register(lease(instance_host=host)),
    ]
    before = [await registered(relay, each()) for each in asked]
    relay.kill()
    for path in relay.data_dir.iterdir():
        path.unlink()
    relay.start()
    assert [await registered(relay, each()) for each in asked] == before
    assert before[2] == instance_id.of_host(host)


async def test_an_instance_that_leaves_leaves_nothing(relay: Relay) -> None:
    before = relay.gauges()
    socket, _ = await raw_instance(relay.instances, Register(licence()))
    assert relay.gauges()[0] == before[0] + 1
    socket.vanish()
    await until_async(lambda: relay.gauges() == before)
