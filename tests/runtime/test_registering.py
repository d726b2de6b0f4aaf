"""What the runtime registers with, and how it reacts to each answer (relay-protocol 6.1, 6.3)."""

from __future__ import annotations

import itertools
import time
from typing import Any

import jwt
import pytest

from relay.models import RelayStatus
from relay.wire.frames import PING, Drain, Error, ErrorCode, FrameType
from tests.runtime.conftest import Tenant
from tests.runtime.stage import Stage, eventually, in_thread

INVALID = Error(ErrorCode.LICENSE_INVALID, "no")


def status_of(tenant: Tenant) -> RelayStatus:
    return RelayStatus.objects.get(organisation=tenant.organisation)


async def wait_status(tenant: Tenant, **wanted: Any) -> RelayStatus:
    def found() -> RelayStatus | None:
        row = status_of(tenant)
        return row if all(getattr(row, k) == v for k, v in wanted.items()) else None

    row = await eventually(found)
    assert row is not None
    return row


@pytest.mark.covers("F77", "F78")
async def test_registers_with_its_lease_and_signed_host(stage: Stage, tenant: Tenant) -> None:
    """No settings call, no person: an active organisation is registered because it is active."""
    peer = await stage.connection()
    register = peer.register
    claims = jwt.decode(register.license_token, options={"verify_signature": False})
    assert claims["iss"] == "pulse-pro-entitlement-lease"
    assert claims["instance_host"] == tenant.organisation.instance_host
    assert claims["sub"] == str(tenant.organisation.pk)
    assert register.session_token == ""
    assert register.instance_hint == tenant.organisation.instance_host
    assert register.identity_pub_key == tenant.registration.identity_public_key
    assert register.client_version

    await peer.acknowledge(tenant.instance_id)
    row = await wait_status(tenant, connected=True)
    assert row.credential == "lease" and row.connected_at is not None
    assert row.credential_expires_at is not None
    assert int(row.credential_expires_at.timestamp()) == claims["exp"]


async def test_handshake_is_the_published_one(stage: Stage, tenant: Tenant) -> None:
    peer = await stage.connection()
    request = peer.socket.request
    assert request is not None
    headers = request.headers
    for absent in ("Origin", "Cookie", "Authorization", "Sec-WebSocket-Extensions"):
        assert absent not in headers
    assert "Sec-WebSocket-Protocol" not in headers


async def test_lost_connection_resumes_after_one_step(stage: Stage, tenant: Tenant) -> None:
    peer = await stage.registered(tenant.instance_id, "session-1")
    peer.vanish()
    lost = time.monotonic()
    peer = await stage.connection()
    assert 0.17 <= stage.dials[-1] - lost <= 1.0
    assert peer.register.session_token == "session-1"
    assert peer.register.instance_hint == tenant.instance_id
    assert peer.register.license_token  # always sent, resume or not


@pytest.mark.parametrize("code", [ErrorCode.AUTH_FAILED, ErrorCode.INSTANCE_NOT_FOUND])
async def test_refused_resume_registers_fresh_at_once(
    stage: Stage, tenant: Tenant, code: ErrorCode
) -> None:
    (await stage.registered(tenant.instance_id)).vanish()
    peer = await stage.connection()
    assert peer.register.session_token
    refused = time.monotonic()
    await peer.send(Error(code, "unknown session"))
    peer = await stage.connection()
    assert peer.register.session_token == ""
    assert stage.dials[-1] - refused < 0.17
    await peer.acknowledge(tenant.instance_id)
    await wait_status(tenant, connected=True)


async def test_other_errors_on_a_resume_keep_the_session(stage: Stage, tenant: Tenant) -> None:
    (await stage.registered(tenant.instance_id, "kept")).vanish()
    for code in (ErrorCode.LICENSE_INVALID, ErrorCode.SERVER_DRAINING, ErrorCode.RATE_LIMITED):
        peer = await stage.connection()
        assert peer.register.session_token == "kept"
        await peer.send(Error(code, "later"))
    assert (await stage.connection()).register.session_token == "kept"


async def test_refused_registration_backs_off_twice_as_long_each_time(
    stage: Stage, tenant: Tenant
) -> None:
    for _ in range(5):
        peer = await stage.connection()
        await peer.send(INVALID)
    steps = [b - a for a, b in itertools.pairwise(stage.dials)]
    for step, wanted in zip(steps, (0.2, 0.4, 0.8, 1.6), strict=False):
        assert 0.9 * wanted <= step <= 1.1 * wanted + 0.5, steps
    row = await wait_status(tenant, last_error="LICENSE_INVALID: no")
    assert not row.connected and row.reconnect_at is not None


async def test_success_forgets_earlier_failures(stage: Stage, tenant: Tenant) -> None:
    for _ in range(3):
        await (await stage.connection()).send(INVALID)
    peer = await stage.registered(tenant.instance_id)
    peer.vanish()
    lost = time.monotonic()
    await stage.connection()
    assert stage.dials[-1] - lost < 0.7  # the first step, not the fourth


async def test_licence_error_after_the_ack_waits_the_long_pause(
    stage: Stage, tenant: Tenant, quick: Any
) -> None:
    """Exactly, without jitter; the session is kept, so that the next attempt is a resume."""
    quick.RUNTIME_BACKOFF_MAX = 1.0
    peer = await stage.registered(tenant.instance_id, "kept")
    await peer.send(Error(ErrorCode.LICENSE_EXPIRED, "over"))
    assert await peer.closed() is not None
    refused = time.monotonic()
    await wait_status(tenant, connected=False, last_error="the relay withdrew the credential")
    peer = await stage.connection()
    assert 0.9 <= stage.dials[-1] - refused <= 1.7
    assert peer.register.session_token == "kept"


@pytest.mark.parametrize("code", [ErrorCode.DUPLICATE_INSTANCE, ErrorCode.RATE_LIMITED, "NEW_ONE"])
async def test_other_errors_after_the_ack_change_nothing(
    stage: Stage, tenant: Tenant, code: str
) -> None:
    peer = await stage.registered(tenant.instance_id)
    await peer.send(Error(code, "x"))
    await peer.send(PING)
    assert (await peer.frame()).type is FrameType.PONG
    assert len(stage.dials) == 1


async def test_drain_comes_back_at_once_but_not_in_a_loop(stage: Stage, tenant: Tenant) -> None:
    for _ in range(4):
        peer = await stage.registered(tenant.instance_id)
        await peer.send(Drain("restart", "ws://127.0.0.1:1/elsewhere"))
        await peer.closed()
    await stage.connection()
    steps = [b - a for a, b in itertools.pairwise(stage.dials)]
    assert all(step < 0.17 for step in steps[:3]), steps
    assert steps[3] >= 0.18, steps  # the fourth within a minute waits a step


@pytest.mark.parametrize(
    "first", [PING, b"\x01", b"\x02\x02\x00\x00\x00\x00{}", b"\x01\x02\x00\x00\x00\x00not json"]
)
async def test_bad_first_frame_fails_the_attempt(
    stage: Stage, tenant: Tenant, first: bytes
) -> None:
    peer = await stage.connection()
    await peer.send(first)
    await peer.closed()
    await stage.connection()
    assert "first frame" in (await in_thread(status_of, tenant)).last_error


async def test_no_answer_in_time_fails_the_attempt(stage: Stage, tenant: Tenant) -> None:
    await stage.connection()
    await stage.connection()
    assert stage.dials[1] - stage.dials[0] >= 2.0
    row = await in_thread(status_of, tenant)
    assert "in time" in row.last_error


@pytest.mark.covers("F78")
async def test_another_instance_id_is_not_served(stage: Stage, tenant: Tenant) -> None:
    peer = await stage.registered("relay_0123456789abcdef")
    await peer.closed()
    await wait_status(
        tenant, last_error="the relay gave another instance id than this organisation's"
    )
    assert (await stage.connection()).register.session_token == ""


async def test_error_text_of_the_relay_is_shown_cut_and_printable(
    stage: Stage, tenant: Tenant
) -> None:
    await (await stage.connection()).send(
        Error(ErrorCode.RATE_LIMITED, "a\r\nb\x1b[31m" + "x" * 500)
    )
    await stage.connection()
    row = await in_thread(status_of, tenant)
    assert row.last_error.startswith("RATE_LIMITED: a  b [31mxxx") and len(row.last_error) == 200
