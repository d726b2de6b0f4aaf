"""The credential: leases are renewed in time, an attached licence goes first (design section 6)."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.utils import timezone

from audit.models import Event
from billing import keys
from billing.models import BillingState, Lease
from relay.models import Registration, RelayStatus
from relay.registration import LicenceRefused, attach_licence, detach_licence
from relay.runtime.dial import Refused
from relay.server.models import LicenceBinding
from relay.wire.frames import Error, ErrorCode
from tenants.notify import RUNTIME, notify
from tests.factories import make_organisation
from tests.relay_server.signing import LICENCE_KEY, grant, lease, licence
from tests.runtime.conftest import ACTOR, Tenant
from tests.runtime.scripted_web import Asked, answer, scripted_web
from tests.runtime.stage import Stage, eventually, ids, in_thread, running, scripted_relay_stage


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LEASE_LIFE", timedelta(seconds=4))


async def test_lease_is_renewed_before_it_ends_by_registering_again(
    short_leases: None, stage: Stage, tenant: Tenant
) -> None:
    peer = await stage.registered(tenant.instance_id, "session-1")
    first = claims_of(peer.register.license_token)
    await peer.closed(first["exp"] - time.time())
    closed = time.monotonic()
    peer = await stage.connection()
    assert stage.dials[-1] - closed < 0.17  # at once: nothing failed
    assert time.time() < first["exp"]
    assert claims_of(peer.register.license_token)["exp"] > first["exp"]
    assert peer.register.session_token == "session-1"


async def test_renewal_waits_for_a_quiet_moment(
    short_leases: None, quick: Any, tenant: Tenant
) -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)
        writer.write(answer())

    async with (
        scripted_web(script) as web,
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url, WEB_ADDR=web.address),
    ):
        peer = await stage.registered(tenant.instance_id)
        await peer.open_channel(1, tenant.token)
        assert (await peer.ask_plainly(1)).status == 200
        await peer.closed(1)
        await stage.connection(1)


async def test_lease_that_cannot_be_prolonged_is_used_to_its_end(
    stage: Stage, tenant: Tenant, quick: Any
) -> None:
    """A trial ends: no storm of registrations before, and a clear word after."""
    quick.RUNTIME_BACKOFF_MAX = 0.3
    peer = await stage.registered(tenant.instance_id)
    billing = BillingState.objects.filter(organisation=tenant.organisation)
    await in_thread(billing.update, trial_ends_at=timezone.now() + timedelta(seconds=4))
    await peer.send(Error(ErrorCode.LICENSE_EXPIRED, "over"))  # as if the first had ended
    await peer.closed()
    peer = await stage.registered(tenant.instance_id)
    ends = claims_of(peer.register.license_token)["exp"]
    assert ends <= time.time() + 4
    assert await stage.no_connection(ends - time.time())  # used to its end
    peer.vanish()  # the relay would close it now

    def says_why() -> bool:
        row = RelayStatus.objects.get(organisation=tenant.organisation)
        return "subscription" in row.last_error

    await eventually(says_why)

    def paid() -> None:
        billing.update(trial_ends_at=timezone.now() + timedelta(days=9))
        notify(RUNTIME, tenant.organisation.pk)

    await in_thread(paid)
    await stage.connection(2)  # not at the end of its back-off


async def test_lease_is_kept_over_lost_connections(stage: Stage, tenant: Tenant) -> None:
    tokens = set()
    for _ in range(3):
        peer = await stage.registered(tenant.instance_id)
        tokens.add(peer.register.license_token)
        peer.vanish()
    assert len(tokens) == 1


async def test_new_lease_is_signed_after_the_relay_refused_the_old(
    stage: Stage, tenant: Tenant
) -> None:
    await (await stage.connection()).send(Error(ErrorCode.RATE_LIMITED, "later"))
    peer = await stage.connection()
    signed = Lease.objects.filter(organisation=tenant.organisation, issued_for="runtime")
    assert await in_thread(signed.count) == 1
    await peer.send(Error(ErrorCode.LICENSE_INVALID, "unknown key"))
    await stage.connection()
    assert await in_thread(signed.count) == 2


# --- the licence ------------------------------------------------------------------------------------


def attach(tenant: Tenant, token: str) -> Registration:
    return attach_licence(
        organisation=tenant.organisation, token=token, actor=ACTOR, reason="bought one"
    )


@pytest.fixture
def licence_key(settings: Any) -> None:
    settings.RELAY_PUBLIC_KEY = LICENCE_KEY


async def test_attached_licence_is_registered_with_at_once(
    licence_key: None, stage: Stage, tenant: Tenant
) -> None:
    peer = await stage.registered(tenant.instance_id)
    token = licence()
    await in_thread(attach, tenant, f" {token}\n")
    await peer.closed(2)
    peer = await stage.registered(tenant.instance_id)
    assert peer.register.license_token == token

    def licensed() -> bool:
        row = RelayStatus.objects.get(organisation=tenant.organisation)
        return row.connected and row.credential == "licence"

    await eventually(licensed)
    await in_thread(detach_licence, organisation=tenant.organisation, actor=ACTOR)
    await peer.closed(2)
    peer = await stage.connection()
    assert claims_of(peer.register.license_token)["iss"] == "pulse-pro-entitlement-lease"


async def test_lease_stands_in_for_a_licence_that_the_relay_refuses(
    licence_key: None, quick: Any, tenant: Tenant
) -> None:
    await in_thread(attach, tenant, licence())
    async with (
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url),
    ):
        peer = await stage.connection()
        assert "lid" in claims_of(peer.register.license_token)
        await peer.send(Error(ErrorCode.LICENSE_INVALID, "revoked"))
        peer = await stage.registered(tenant.instance_id)
        assert claims_of(peer.register.license_token)["instance_host"]
        peer.vanish()
        assert "lid" not in claims_of((await stage.connection()).register.license_token)


def test_attaching_keeps_the_instance_id_and_is_on_record(
    licence_key: None, tenant: Tenant
) -> None:
    token = licence(lid="lic-attached")
    attach(tenant, token)
    registration = attach(tenant, token)  # again, for instance renewed
    assert registration.instance_id == tenant.instance_id
    binding = LicenceBinding.objects.get(licence_id="lic-attached")
    assert (binding.instance_id, binding.organisation) == (
        tenant.instance_id,
        tenant.organisation.pk,
    )
    assert registration.sealed_licence is not None
    assert token.encode() not in bytes(registration.sealed_licence)
    event = Event.objects.filter(organisation=tenant.organisation.pk, action="licence_attached")
    assert event.count() == 2 and event[0].reason == "bought one"
    assert token not in str(list(event.values()))
    detach_licence(organisation=tenant.organisation, actor=ACTOR)
    assert not LicenceBinding.objects.filter(licence_id="lic-attached").exists()
    assert detach_licence(organisation=tenant.organisation, actor=ACTOR) is not None


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("nonsense", "invalid_licence"),
        (lambda: licence(tier="free"), "invalid_licence"),
        (lambda: licence(exp=int(time.time()) - 30 * 86400), "expired_licence"),
        (lambda: licence()[:-4] + "AAAA", "invalid_licence"),
        (lambda: grant(), "invalid_licence"),
        (lambda: lease(), "invalid_licence"),
    ],
)
def test_bad_licence_is_not_attached(
    licence_key: None, tenant: Tenant, token: Any, code: str
) -> None:
    with pytest.raises(LicenceRefused) as refused:
        attach(tenant, token() if callable(token) else token)
    assert refused.value.code == code
    assert not LicenceBinding.objects.filter(organisation=tenant.organisation.pk).exists()


def test_licence_of_another_organisation_is_not_attached(licence_key: None, tenant: Tenant) -> None:
    token = licence()
    attach(tenant, token)
    other = make_organisation()
    with pytest.raises(LicenceRefused) as refused:
        attach_licence(organisation=other, token=token, actor=ACTOR)
    assert refused.value.code == "licence_in_use"


def test_licence_needs_a_configured_key(settings: Any, tenant: Tenant) -> None:
    settings.RELAY_PUBLIC_KEY = None
    with pytest.raises(LicenceRefused) as refused:
        attach(tenant, licence())
    assert refused.value.code == "no_licence_key"


def test_refusals_are_shown_without_control_characters() -> None:
    error = Refused(Error("LICENSE_INVALID", "a\x1b[31m\nb" + "c" * 500))
    assert str(error).isprintable() and len(str(error)) == 200
