"""Key exchange and sealed messages on the instance's side (relay-protocol section 5)."""

from __future__ import annotations

import pytest

from relay.wire import proxy
from relay.wire.frames import ChannelClose, FrameType
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel
from tests.runtime.conftest import Tenant, make_tenant
from tests.runtime.stage import Peer, Stage

EVIL = proxy.encode_request(proxy.Request("r1", "GET", "//evil"))


@pytest.fixture(scope="module")
def tenant(live_db_session: None) -> Tenant:
    """One for all: nothing here changes it."""
    return make_tenant()


@pytest.fixture
async def peer(stage: Stage, tenant: Tenant) -> Peer:
    peer = await stage.registered(tenant.instance_id)
    await peer.open_channel(1, tenant.token)
    return peer


async def answer(peer: Peer, sealed: SealedChannel) -> proxy.Response:
    frame = await peer.expect_type(FrameType.DATA)
    return proxy.decode_response(sealed.open(frame.payload))


async def test_channel_is_sealed_both_ways_after_the_exchange(peer: Peer, tenant: Tenant) -> None:
    sealed = await peer.exchange_keys(1, tenant.registration.identity_public_key)
    for _ in range(3):
        await peer.send_frame(FrameType.DATA, 1, sealed.seal(EVIL))
        assert (await answer(peer, sealed)).status == 400
    assert sealed.next_expected == 3  # the instance's counters start at 0 and leave no gap


async def test_second_exchange_makes_fresh_keys_and_counters(peer: Peer, tenant: Tenant) -> None:
    first = await peer.exchange_keys(1, tenant.registration.identity_public_key)
    await peer.send_frame(FrameType.DATA, 1, first.seal(EVIL))
    await answer(peer, first)
    second = await peer.exchange_keys(1, tenant.registration.identity_public_key)
    await peer.send_frame(FrameType.DATA, 1, second.seal(EVIL))
    assert (await answer(peer, second)).status == 400
    assert second.next_expected == 1


async def test_unusable_keys_and_unknown_channels_get_no_answer(peer: Peer, tenant: Tenant) -> None:
    good = KeyExchange(EphemeralKey().public).encode()
    for channel, payload in [
        (1, b""),
        (1, b"\x20"),
        (1, b"\x20short"),
        (1, b"\x1f" + bytes(31)),
        (1, b"\x20" + bytes(32)),  # a low-order point: its shared secret is known to everyone
        (99, good),
    ]:
        await peer.send_frame(FrameType.KEY_EXCHANGE, channel, payload)
    assert (await peer.ask_plainly(1, path="//evil")).status == 400  # still plain


async def test_plain_and_repeated_messages_are_dropped_once_sealed(
    peer: Peer, tenant: Tenant
) -> None:
    sealed = await peer.exchange_keys(1, tenant.registration.identity_public_key)
    once = sealed.seal(EVIL)
    await peer.send_frame(FrameType.DATA, 1, EVIL)
    await peer.send_frame(FrameType.DATA, 1, once)
    await peer.send_frame(FrameType.DATA, 1, once)
    await peer.send_frame(FrameType.DATA, 1, b"")
    assert (await answer(peer, sealed)).status == 400
    assert await peer.silent(0.2)
    sealed.next_to_send += 5  # a gap is fine
    await peer.send_frame(FrameType.DATA, 1, sealed.seal(EVIL))
    assert (await answer(peer, sealed)).status == 400


@pytest.mark.covers("F44")
async def test_tampered_message_closes_the_channel(peer: Peer, tenant: Tenant) -> None:
    sealed = await peer.exchange_keys(1, tenant.registration.identity_public_key)
    message = bytearray(sealed.seal(EVIL))
    message[-1] ^= 1
    await peer.send_frame(FrameType.DATA, 1, bytes(message))
    assert (await peer.expect(ChannelClose)).reason == "message authentication failed"
    await peer.send_frame(FrameType.DATA, 1, sealed.seal(EVIL))
    assert await peer.silent(0.2)
