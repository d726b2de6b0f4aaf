"""Live sockets of the running product end with the right to them: within five seconds, and within
a minute when the notification is lost. Phones stay paired unless their token died."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from audit.actors import Actor
from billing import leases
from rbac import mobile, tokens
from rbac.models import ApiToken
from relay.effects import RelayEffect
from relay.models import Registration, RelayStatus
from relay.phone import Phone, PhoneError
from relay.server.models import BlockedInstance
from relay.wire.frames import Connect, Error, ErrorCode, Register, RegisterAck
from relay.wire.pairing import Pairing
from tenants import lifecycle
from tenants.models import Membership, Runtime, State, SuspendedBy, User
from tenants.people import membership
from tenants.schemas import in_schema
from tests import secrets_seen
from tests.factories import add_member, make_live_organisation, owner_of, put_in_state
from tests.product import Product
from tests.raw_socket import RawSocket
from tests.waiting import until

ACTOR = Actor.system("test")
AT_ONCE, AT_LAST = 5.0, 60.0


class Connected:
    """An organisation of the running product, and a phone of `person` that is connected to it."""

    def __init__(self, product: Product, loop: asyncio.Runner) -> None:
        self.loop = loop
        self.organisation = make_live_organisation()
        self.person = add_member(self.organisation, "admin")
        self.token, self.secret = tokens.issue(
            self.organisation,
            user=self.person,
            name="Phone",
            scopes=[mobile.SCOPE],
            purpose=mobile.PURPOSE,
            actor=ACTOR,
        )
        secrets_seen.seen(self.secret, "phone's token")
        registration = Registration.objects.get(organisation=self.organisation)
        self.pairing = Pairing(
            registration.instance_id,
            f"ws://{product.relay[0]}:{product.relay[1]}/ws/app",
            self.secret,
            registration.identity_public_key,
            registration.identity_fingerprint,
        )
        until(self.is_connected, 20)
        self.phone = self.dial()

    def is_connected(self) -> bool:
        return RelayStatus.objects.filter(organisation=self.organisation, connected=True).exists()

    def dial(self) -> Phone:
        """Opens the phone's channel and asks one thing through it."""
        phone = Phone(self.pairing)
        self.loop.run(phone.open())
        assert self.loop.run(phone.request("GET", "/api/organisation")).status == 200
        return phone

    def ends(self, seconds: float) -> PhoneError:
        return self.loop.run(asyncio.wait_for(self.phone.wait_closed(), seconds))

    def refusal(self) -> PhoneError:
        with pytest.raises(PhoneError) as refused:
            self.loop.run(Phone(self.pairing).open())
        return refused.value

    # --- what may happen to it ----------------------------------------------------------------

    def suspend(self) -> None:
        lifecycle.suspend(organisation=self.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)

    def schedule_deletion(self) -> None:
        """No verb does it yet; its effects are those of the life cycle."""
        with transaction.atomic():
            self.silently_pending()
            self.organisation.refresh_from_db()
            RelayEffect().pending_deletion(self.organisation)

    def revoke(self) -> None:
        tokens.revoke(self.organisation, self.token.pk, actor=ACTOR)

    def remove_member(self) -> None:
        membership.remove(
            organisation=self.organisation,
            user=self.person,
            actor=Actor.person(owner_of(self.organisation)),
        )

    def change_token(self, **values: object) -> None:
        with in_schema(self.organisation):
            ApiToken.objects.filter(pk=self.token.pk).update(**values)

    # --- the same with nobody told ------------------------------------------------------------

    def silently_suspended(self) -> None:
        put_in_state(self.organisation, State.SUSPENDED)
        BlockedInstance.objects.create(
            instance_id=self.pairing.instance_id, organisation=self.organisation.pk
        )

    def silently_pending(self) -> None:
        put_in_state(self.organisation, State.PENDING_DELETION)

    def silently_revoked(self) -> None:
        self.change_token(revoked_at=timezone.now())

    def silently_expired(self) -> None:
        self.change_token(expires_at=timezone.now() - timedelta(seconds=1))

    def silently_removed(self) -> None:
        Membership.objects.filter(user=self.person).delete()

    def silently_deactivated(self) -> None:
        User.objects.filter(pk=self.person.pk).update(is_active=False)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.covers("F33", "H9")
@pytest.mark.parametrize("happens", ["suspend", "schedule_deletion"])
def test_shutting_the_organisation_closes_instance_and_phone_at_once(
    product: Product, loop: asyncio.Runner, happens: str
) -> None:
    it = Connected(product, loop)
    began = time.monotonic()
    getattr(it, happens)()
    ended = it.ends(AT_ONCE)
    until(lambda: not it.is_connected(), AT_ONCE - (time.monotonic() - began), promised=True)
    assert not ended.pairing_is_over
    refused = it.refusal()
    assert refused.code == ErrorCode.INSTANCE_NOT_FOUND and not refused.pairing_is_over
    assert tokens.is_valid(it.organisation, it.secret)  # stays paired


@pytest.mark.covers("F33")
@pytest.mark.parametrize("happens", ["revoke", "remove_member"])
def test_a_token_that_dies_takes_its_channel_along_at_once(
    product: Product, loop: asyncio.Runner, happens: str
) -> None:
    it = Connected(product, loop)
    getattr(it, happens)()
    it.ends(AT_ONCE)
    refused = it.refusal()
    assert refused.code == ErrorCode.AUTH_FAILED and refused.pairing_is_over
    assert it.is_connected()  # its colleagues' phones notice nothing


@pytest.mark.covers("F33", "H9")
def test_whatever_is_lost_is_found_within_a_minute(product: Product, loop: asyncio.Runner) -> None:
    """Nobody is notified: the rows change under the running product, all at one time, and the
    sweeps of relay and runtime find them at their shipped pace."""
    happens: dict[str, Callable[[Connected], None]] = {
        "suspended": Connected.silently_suspended,
        "pending": Connected.silently_pending,
        "revoked": Connected.silently_revoked,
        "expired": Connected.silently_expired,
        "removed": Connected.silently_removed,
        "deactivated": Connected.silently_deactivated,
    }
    its = {name: Connected(product, loop) for name in happens}
    bystander = Connected(product, loop)
    began = time.monotonic()
    for name, happen in happens.items():
        happen(its[name])

    async def all_ended() -> None:
        await asyncio.gather(*(it.phone.wait_closed() for it in its.values()))

    loop.run(asyncio.wait_for(all_ended(), AT_LAST))
    assert time.monotonic() - began < AT_LAST
    for name, it in its.items():
        refused = it.refusal()
        shut = name in ("suspended", "pending")
        wanted = ErrorCode.INSTANCE_NOT_FOUND if shut else ErrorCode.AUTH_FAILED
        assert (refused.code, refused.pairing_is_over) == (wanted, not shut), name
    assert loop.run(bystander.phone.request("GET", "/api/organisation")).status == 200


@pytest.mark.covers("F33")
def test_a_lease_outlives_no_suspension_at_the_relay(
    product: Product, loop: asyncio.Runner
) -> None:
    """Somebody who kept an organisation's lease, a day long, is let in at no door of the relay:
    fresh registration, resumed one, and phones that ask for it."""
    organisation = make_live_organisation(runtime=Runtime.EXTERNAL)
    lease = leases.issue(organisation, issued_for="refresh").token
    secrets_seen.seen(lease, "lease")
    relay = f"ws://{product.relay[0]}:{product.relay[1]}"
    instance = Registration.objects.get(organisation=organisation).instance_id

    async def register(**more: str) -> tuple[RawSocket, RegisterAck]:
        socket = await RawSocket.open(f"{relay}/ws/instance")
        await socket.send(Register(lease, **more))
        return socket, await socket.expect(RegisterAck)

    async def refused(path: str, first: Register | Connect) -> str:
        async with await RawSocket.open(f"{relay}{path}") as socket:
            await socket.send(first)
            return (await socket.expect(Error)).code

    home, acknowledged = loop.run(register())
    assert acknowledged.instance_id == instance
    for shut in ("suspend", "pending"):
        began = time.monotonic()
        if shut == "suspend":
            lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        else:
            lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        assert loop.run(home.closed(seconds=AT_ONCE)) == 1000
        assert time.monotonic() - began < AT_ONCE
        resume = Register(lease, acknowledged.session_token, instance)
        assert loop.run(refused("/ws/instance", Register(lease))) == ErrorCode.LICENSE_EXPIRED
        assert loop.run(refused("/ws/instance", resume)) == ErrorCode.AUTH_FAILED
        connect = Connect(instance, "f" * 64)
        assert loop.run(refused("/ws/app", connect)) == ErrorCode.INSTANCE_NOT_FOUND
        if shut == "suspend":
            lifecycle.unsuspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
            home, acknowledged = loop.run(register())
