"""Opening and closing channels, and the token behind each (relay-protocol section 9)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from audit.actors import Actor
from rbac import tokens
from rbac.models import ApiToken
from relay.models import RelayStatus
from relay.wire.frames import (
    ChannelClose,
    ChannelOpen,
    FrameType,
    encode,
)
from tenants.models import Organisation
from tenants.schemas import SchemaMissing, in_schema
from tests.runtime.conftest import ACTOR, Tenant, make_tenant
from tests.runtime.stage import Peer, Stage, eventually, in_thread

REFUSED = "invalid auth token"


@pytest.fixture
async def peer(stage: Stage, tenant: Tenant) -> Peer:
    return await stage.registered(tenant.instance_id)


def active(tenant: Tenant, channels: int) -> bool:
    row = RelayStatus.objects.get(organisation=tenant.organisation)
    return row.active_channels == channels


async def test_good_token_is_echoed_trimmed(peer: Peer, tenant: Tenant) -> None:
    payload = b'{"channel_id":7,"auth_token":" %s ","new_key":1}' % tenant.token.encode()
    await peer.send_frame(FrameType.CHANNEL_OPEN, 7, payload)
    frame = await peer.expect_type(FrameType.CHANNEL_OPEN)
    assert frame.channel == 7
    assert frame.payload == b'{"channel_id":7,"auth_token":"%s"}' % tenant.token.encode()
    await eventually(lambda: active(tenant, 1))


@pytest.mark.parametrize("token", ["", " ", "0" * 64, "not hex", "x" * 5000])
async def test_bad_token_is_refused(peer: Peer, token: str) -> None:
    await peer.send(ChannelOpen(9, token))
    assert await peer.expect(ChannelClose) == ChannelClose(9, REFUSED)


async def test_token_of_another_organisation_is_refused(peer: Peer, tenant: Tenant) -> None:
    other = await in_thread(make_tenant)
    await peer.send(ChannelOpen(3, other.token))
    assert await peer.expect(ChannelClose) == ChannelClose(3, REFUSED)


async def test_channel_number_is_the_one_in_the_json(peer: Peer, tenant: Tenant) -> None:
    payload = b'{"channel_id":4294967295,"auth_token":"%s"}' % tenant.token.encode()
    await peer.send_frame(FrameType.CHANNEL_OPEN, 5, payload)
    assert (await peer.expect(ChannelOpen)).channel_id == 4294967295


async def test_unreadable_open_gets_no_answer(peer: Peer, tenant: Tenant) -> None:
    for payload in (b"", b"{", b"[]", b'{"channel_id":"x","auth_token":"y"}', b"\xff"):
        await peer.send_frame(FrameType.CHANNEL_OPEN, 2, payload)
    await peer.open_channel(3, tenant.token)


async def test_malformed_frames_leave_the_connection(peer: Peer, tenant: Tenant) -> None:
    for raw in (b"", b"\x01", b"\x09\x07\x00\x00\x00\x01x", b"\x01\x63\x00\x00\x00\x01x"):
        await peer.send(raw)
    for kind in (FrameType.REGISTER_ACK, FrameType.CONNECT, FrameType.PONG, FrameType.REGISTER):
        await peer.send(encode(kind, 1, b"{}"))
    await peer.open_channel(3, tenant.token)


@pytest.mark.covers("F46")
async def test_reopened_number_is_a_new_channel_without_keys(peer: Peer, tenant: Tenant) -> None:
    """No key, counter or rate carries over, and a refused re-open leaves the old one alive."""
    await peer.open_channel(4, tenant.token)
    sealed = await peer.exchange_keys(4, tenant.registration.identity_public_key)
    await peer.send(ChannelOpen(4, "0" * 64))
    assert await peer.expect(ChannelClose) == ChannelClose(4, REFUSED)
    again = await peer.exchange_keys(4, tenant.registration.identity_public_key)
    assert again.receiving_key != sealed.receiving_key

    await peer.open_channel(4, tenant.token)
    answer = await peer.ask_plainly(4, path="//evil")  # plain again: the new channel has no keys
    assert answer.status == 400


async def test_close_by_header_when_its_json_is_unreadable(peer: Peer, tenant: Tenant) -> None:
    await peer.open_channel(6, tenant.token)
    await peer.send_frame(FrameType.CHANNEL_CLOSE, 6, b"{")
    await eventually(lambda: active(tenant, 0))
    await peer.send_request(6)
    assert await peer.silent(0.2)  # a closed channel answers nothing


@pytest.mark.covers("F33")
async def test_revoked_token_closes_its_live_channels_only(peer: Peer, tenant: Tenant) -> None:
    _, secret = await in_thread(second_token, tenant)
    await peer.open_channel(1, tenant.token)
    await peer.open_channel(2, secret)
    await peer.open_channel(3, tenant.token)
    await in_thread(tokens.revoke, tenant.organisation, tenant.token_id, actor=ACTOR)
    closed = {(await peer.expect(ChannelClose, 2)).channel_id for _ in range(2)}
    assert closed == {1, 3}
    assert (await peer.ask_plainly(2, path="//evil")).status == 400
    await eventually(lambda: active(tenant, 1))


def second_token(tenant: Tenant) -> tuple[ApiToken, str]:
    from tests.factories import owner_of

    return tokens.issue(
        tenant.organisation,
        user=owner_of(tenant.organisation),
        name="Second",
        scopes=[],
        actor=Actor.system("test"),
    )


@pytest.mark.covers("F33")
async def test_revocation_whose_notification_was_lost_is_found_by_the_sweep(
    quick: Any, tenant: Tenant
) -> None:
    from tests.runtime.stage import ids, running, scripted_relay_stage

    quick.RELAY_SWEEP_INTERVAL = 0.3
    async with (
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url),
    ):
        peer = await stage.registered(tenant.instance_id)
        await peer.open_channel(1, tenant.token)
        await in_thread(_revoke_silently, tenant)
        assert (await peer.expect(ChannelClose, 2)).channel_id == 1


def _revoke_silently(tenant: Tenant) -> None:
    from django.utils import timezone

    with in_schema(tenant.organisation):
        ApiToken.objects.filter(pk=tenant.token_id).update(revoked_at=timezone.now())


@pytest.mark.parametrize("trouble", [OperationalError("gone"), SchemaMissing("org_x")])
async def test_database_trouble_does_not_look_like_a_refused_token(
    peer: Peer, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """A phone deletes its pairing when its token is refused, so nothing at all is answered."""

    def fails(*_: Any) -> bool:
        raise trouble

    await peer.open_channel(1, tenant.token)
    with monkeypatch.context() as broken:
        broken.setattr(tokens, "is_valid", fails)
        await peer.send(ChannelOpen(2, tenant.token))
        assert await peer.silent(0.3)
        await in_thread(_notify, tenant)  # open channels are looked at as well, and stay
        assert await peer.silent(0.3)
    await peer.open_channel(3, tenant.token)
    assert (await peer.ask_plainly(1, path="//evil")).status == 400


def _notify(tenant: Tenant) -> None:
    from tenants.notify import RUNTIME, notify

    notify(RUNTIME, tenant.organisation.pk)


async def test_opening_a_channel_counts_as_use(peer: Peer, tenant: Tenant) -> None:
    """The token of a phone that paired and asked nothing yet must not die as unused."""
    await peer.open_channel(1, tenant.token)

    def used() -> bool:
        with in_schema(tenant.organisation):
            return ApiToken.objects.get(pk=tenant.token_id).last_used_at is not None

    assert await in_thread(used)


async def test_closed_while_its_token_is_checked_is_never_opened(
    peer: Peer, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    go, real = threading.Event(), tokens.is_valid

    def slow(organisation: Organisation, secret: str) -> bool:
        go.wait(5)
        return real(organisation, secret)

    monkeypatch.setattr(tokens, "is_valid", slow)
    await peer.send(ChannelOpen(1, tenant.token))
    await peer.send(ChannelClose(1, "the app left"))
    await peer.send(encode(FrameType.PING, 0))
    await peer.expect_type(FrameType.PONG)
    go.set()
    assert await peer.silent(0.3)
    assert await in_thread(active, tenant, 0)
