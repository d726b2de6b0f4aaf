"""The phone against the reference instance, through the real relay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from relay.phone import Phone, PhoneError
from relay.wire import identity, proxy
from relay.wire.frames import ErrorCode, FrameType
from relay.wire.pairing import Pairing
from tests.raw_socket import raw_app
from tests.reference_channels import Answer, Stream
from tests.reference_instance import ReferenceInstance
from tests.relay_server.process import Relay
from tests.relay_server.signing import licence
from tests.waiting import until_async

TOKEN = "5e" * 32
SIGNER = identity.make()


def link_to(relay: Relay, instance: ReferenceInstance, *, token: str = TOKEN) -> str:
    return Pairing(
        instance.instance_id, relay.apps, token, SIGNER.public_key, SIGNER.fingerprint
    ).link()


async def serve(request: proxy.Request, token: str) -> Answer | Stream:
    """What the tests' organisation answers."""
    match request.path:
        case "/echo":
            return Answer(body=request.body, headers={"Content-Type": "text/plain"})
        case "/headers":
            return Answer(body=",".join(sorted(request.headers)).encode())
        case "/too-large":
            return Answer(body=bytes(proxy.BODY_LIMIT + 1))
        case "/events":
            return Stream(counted(3))
        case "/endless":
            return Stream(counted(1_000_000))
        case _:
            known = json.dumps({"path": request.path, "token_is_ours": token == TOKEN})
            return Answer(body=known.encode())


async def counted(count: int) -> AsyncIterator[bytes]:
    for n in range(count):
        yield f"data: {n}".encode()
        await asyncio.sleep(0.01)


@pytest.fixture
async def instance(relay: Relay) -> AsyncIterator[ReferenceInstance]:
    async with ReferenceInstance(
        relay.instances,
        license_token=licence(),
        identity=SIGNER,
        valid_tokens={TOKEN},
        handler=serve,
    ) as running:
        await running.registered()
        yield running


@pytest.fixture
async def phone(relay: Relay, instance: ReferenceInstance) -> AsyncIterator[Phone]:
    async with Phone.from_link(link_to(relay, instance)) as connected:
        yield connected


async def test_pairs_with_the_link_alone_and_is_answered_sealed(
    phone: Phone, instance: ReferenceInstance
) -> None:
    reply = await phone.request("GET", "/api/organisation")
    assert reply.json() == {"path": "/api/organisation", "token_is_ours": True}
    assert (reply.status, reply.headers) == (200, {"Content-Type": "application/json"})
    assert phone.identity_fingerprint == SIGNER.fingerprint
    assert phone.timings and min(phone.timings) > 0 and reply.ms > 0
    assert list(instance.channels) == [phone.channel]
    (sealed,) = (frame.payload for frame in instance.seen(FrameType.DATA))
    assert b"organisation" not in sealed and b"GET" not in sealed


async def test_carries_the_largest_bodies_both_ways(phone: Phone) -> None:
    body = bytes(range(256)) * (proxy.BODY_LIMIT // 256)
    reply = await phone.request("POST", "/echo", body=body)
    assert reply.body == body
    assert (await phone.request("GET", "/too-large")).status == 413
    with pytest.raises(PhoneError, match="TOO_LARGE"):
        await phone.request("POST", "/echo", body=bytes(proxy.BODY_LIMIT + 1))
    assert (await phone.request("POST", "/echo", body=b"still here")).body == b"still here"


async def test_keeps_one_request_in_flight(phone: Phone, instance: ReferenceInstance) -> None:
    replies = await asyncio.gather(
        *(phone.request("POST", "/echo", body=b"%d" % n) for n in range(20))
    )
    assert [reply.body for reply in replies] == [b"%d" % n for n in range(20)]
    assert {int.from_bytes(f.payload[:8], "little") for f in instance.seen(FrameType.DATA)} == set(
        range(20)
    )


async def test_asks_only_for_its_own_organisation(phone: Phone) -> None:
    """A path to another host is refused by the instance, and the phone goes on."""
    assert (await phone.request("GET", "//evil.test/")).status == 400
    assert (await phone.request("GET", "/")).status == 200


@pytest.mark.covers("R59")
async def test_an_event_stream_arrives_in_order_and_ends(phone: Phone) -> None:
    reply = await phone.request("GET", "/events")
    assert reply.headers == {"Content-Type": "text/event-stream"}
    assert reply.events == [b"data: 0", b"data: 1", b"data: 2"]
    responses = [r async for r in phone.responses("GET", "/events")]
    assert [r.stream_done for r in responses] == [False, False, False, False, True]


async def test_leaving_a_stream_early_frees_the_phone(phone: Phone) -> None:
    async with aclosing(phone.responses("GET", "/endless")) as responses:
        async for response in responses:
            if response.body == b"data: 2":
                break
    assert (await phone.request("POST", "/echo", body=b"next")).body == b"next"


@pytest.mark.covers("R50")
async def test_sealed_and_plain_apps_of_one_instance_get_their_own_answers(
    relay: Relay, instance: ReferenceInstance
) -> None:
    link = link_to(relay, instance)
    plain, channel = await raw_app(relay.apps, instance.instance_id, TOKEN)
    async with plain, Phone.from_link(link) as one, Phone.from_link(link) as other:
        assert len({channel, one.channel, other.channel}) == 3
        for n in range(5):
            request = proxy.encode_request(proxy.Request(f"p{n}", "POST", "/echo", body=b"plain"))
            await plain.send_frame(FrameType.DATA, channel, request)
            replies = await asyncio.gather(
                one.request("POST", "/echo", body=b"one"),
                other.request("POST", "/echo", body=b"other"),
            )
            assert [reply.body for reply in replies] == [b"one", b"other"]
            response = proxy.decode_response((await plain.frame()).payload)
            assert (response.id, response.body) == (f"p{n}", b"plain")


async def test_a_revoked_token_ends_the_pairing(relay: Relay, instance: ReferenceInstance) -> None:
    instance.valid_tokens = set()
    instance.cut()  # the reference instance hands its tokens to each new connection
    await until_async(lambda: instance.registrations == 2)
    with pytest.raises(PhoneError) as refused:
        await Phone.from_link(link_to(relay, instance)).open()
    assert refused.value.code == ErrorCode.AUTH_FAILED and refused.value.pairing_is_over
    assert "Pair again" in refused.value.advice


async def test_an_offline_instance_keeps_the_pairing_and_is_reached_again(
    relay: Relay, instance: ReferenceInstance, phone: Phone
) -> None:
    instance.cut()
    ended = await asyncio.wait_for(phone.wait_closed(), 5)
    assert ended.code == "CHANNEL_CLOSED" and not ended.pairing_is_over
    await until_async(lambda: instance.registrations == 2)
    await phone.open()
    assert (await phone.request("POST", "/echo", body=b"again")).body == b"again"


async def test_an_unknown_instance_keeps_the_pairing(relay: Relay) -> None:
    link = Pairing("relay_00000000deadbeef", relay.apps, TOKEN, SIGNER.public_key).link()
    with pytest.raises(PhoneError) as refused:
        await Phone.from_link(link).open()
    assert refused.value.code == ErrorCode.INSTANCE_NOT_FOUND
    assert not refused.value.pairing_is_over and "kept" in refused.value.advice


@pytest.mark.covers("F46")
async def test_every_connection_and_exchange_has_keys_of_its_own(
    phone: Phone, instance: ReferenceInstance
) -> None:
    """F46: the counter starts over with each connection, so the same request must never be sealed
    by the same key twice."""
    await phone.request("GET", "/same")
    await phone.open()
    await phone.request("GET", "/same")
    first, second = (frame.payload for frame in instance.seen(FrameType.DATA))
    assert first[:12] == second[:12] == bytes(12)
    assert first[12:] != second[12:]


async def test_a_foreign_instance_behind_the_right_id_is_refused(relay: Relay) -> None:
    async with ReferenceInstance(
        relay.instances, license_token=licence(), valid_tokens={TOKEN}, handler=serve
    ) as impostor:
        await impostor.registered()
        with pytest.raises(PhoneError) as refused:
            await Phone.from_link(link_to(relay, impostor)).open()
        assert refused.value.code == "IDENTITY_MISMATCH"
        assert not impostor.seen(FrameType.DATA)


async def test_an_instance_that_cannot_sign_is_refused(relay: Relay) -> None:
    async with ReferenceInstance(
        relay.instances, license_token=licence(), identity=None, valid_tokens={TOKEN}
    ) as unsigned:
        await unsigned.registered()
        with pytest.raises(PhoneError) as refused:
            await Phone.from_link(link_to(relay, unsigned)).open()
    assert refused.value.code == "CHANNEL_CLOSED"
    assert "key exchange signing unavailable" in refused.value.what
