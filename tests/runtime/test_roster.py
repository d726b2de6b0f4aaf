"""Who is served: connections follow the state of organisations within two seconds."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from billing import refresh
from rbac import mobile, tokens
from relay.models import Registration, RelayStatus
from relay.registration import RegistrationStep, forget, instance_id_for
from relay.runtime import roster
from relay.runtime_choice import switch_runtime
from relay.server.models import BlockedInstance, Session
from relay.status import STALE_AFTER, duration, status
from tenants import lifecycle
from tenants.models import Organisation, Runtime, State, SuspendedBy
from tenants.schemas import in_schema
from tests.factories import make_organisation, owner_of, put_in_state
from tests.runtime.conftest import ACTOR, Tenant, make_tenant
from tests.runtime.stage import Stage, eventually, ids, in_thread, running, scripted_relay_stage

WITHIN = 2.0


def suspend(tenant: Tenant) -> None:
    lifecycle.suspend(organisation=tenant.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)


def unsuspend(tenant: Tenant) -> None:
    lifecycle.unsuspend(organisation=tenant.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)


async def test_suspension_ends_the_connection_and_lifting_brings_it_back(
    stage: Stage, tenant: Tenant
) -> None:
    peer = await stage.registered(tenant.instance_id)
    started = time.monotonic()
    await in_thread(suspend, tenant)
    await peer.closed(WITHIN)
    assert await stage.no_connection(0.3)
    row = await in_thread(RelayStatus.objects.get, organisation=tenant.organisation)
    assert not row.connected
    assert await in_thread(BlockedInstance.objects.filter(pk=tenant.instance_id).exists)

    await in_thread(unsuspend, tenant)
    assert (await stage.connection(WITHIN)).register.instance_hint
    assert time.monotonic() - started < 2 * WITHIN
    assert not await in_thread(BlockedInstance.objects.filter(pk=tenant.instance_id).exists)


@pytest.mark.covers("F77")
async def test_new_organisation_is_connected_without_being_told(
    quick: Any, live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Provisioning ends, and that is all it takes."""
    only: set[UUID] = set()
    async with (
        scripted_relay_stage() as stage,
        running(quick, only=only, RELAY_SERVER=stage.url),
    ):
        assert await stage.no_connection(0.2)

        def make() -> Organisation:
            organisation = make_organisation(State.PROVISIONING)
            only.add(organisation.pk)
            from tests.factories import _provision

            _provision(organisation)
            return organisation

        organisation = await in_thread(make)
        peer = await stage.connection(WITHIN)
        assert peer.register.instance_hint == organisation.instance_host


async def test_change_whose_notification_was_lost_is_found_by_the_sweep(
    quick: Any, tenant: Tenant
) -> None:
    quick.RELAY_SWEEP_INTERVAL = 0.3
    async with (
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url),
    ):
        peer = await stage.registered(tenant.instance_id)
        await in_thread(put_in_state, tenant.organisation, State.SUSPENDED)
        await peer.closed(WITHIN)
        await in_thread(put_in_state, tenant.organisation, State.ACTIVE)
        await stage.connection(WITHIN)


async def test_external_runtime_takes_over_from_the_built_in_one(
    stage: Stage, tenant: Tenant
) -> None:
    """The built-in one stops, its phones are retired, and only then is there a refresh token."""
    peer = await stage.registered(tenant.instance_id)
    await peer.open_channel(1, tenant.token)
    with pytest.raises(refresh.NotExternal):
        await in_thread(refresh.issue_refresh_token, tenant.organisation, actor=ACTOR)
    await in_thread(
        switch_runtime,
        organisation=tenant.organisation,
        to=Runtime.EXTERNAL,
        actor=ACTOR,
        reason="wants its own",
    )
    await peer.closed(WITHIN)
    assert await stage.no_connection(0.2)

    def after() -> None:
        organisation = Organisation.objects.get(pk=tenant.organisation.pk)
        with in_schema(organisation):
            assert tokens.listed(purpose=mobile.PURPOSE) == []
        said = status(organisation)
        assert said["runtime"] == "external" and not said["connected"]
        assert said["last_error"] == "an external runtime serves this organisation"
        assert refresh.issue_refresh_token(organisation, actor=ACTOR)
        event = Event.objects.filter(organisation=organisation.pk, action="runtime_switched").get()
        assert event.reason == "wants its own"
        assert event.after == {"runtime": "external", "phones_retired": 1}

    await in_thread(after)
    await in_thread(
        switch_runtime, organisation=tenant.organisation, to=Runtime.BUILTIN, actor=ACTOR
    )
    peer = await stage.connection(WITHIN)
    assert peer.register.session_token == ""
    assert peer.register.identity_pub_key == tenant.registration.identity_public_key


async def test_two_runtimes_do_not_fight(quick: Any, tenant: Tenant) -> None:
    """The second stands by, and takes over when the first is gone (F40)."""
    async with scripted_relay_stage() as stage:
        first = running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url)
        await first.__aenter__()
        peer = await stage.registered(tenant.instance_id)
        async with running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url):
            assert await stage.no_connection(0.5)
            await first.__aexit__(None, None, None)
            await peer.closed()
            await stage.connection(3)


async def test_lost_database_connection_leaves_phones_connected(
    stage: Stage, tenant: Tenant
) -> None:
    peer = await stage.registered(tenant.instance_id)
    await peer.open_channel(1, tenant.token)

    def cut() -> int:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0])

    assert await in_thread(cut) >= 2
    assert (await peer.ask_plainly(1, path="//evil")).status == 400
    await in_thread(suspend, tenant)  # listening again, or looking again on reconnect
    await peer.closed(5)


async def test_heartbeat_is_written_and_stale_status_is_not_believed(
    stage: Stage, tenant: Tenant, quick: Any
) -> None:
    peer = await stage.registered(tenant.instance_id)

    def read() -> RelayStatus:
        return RelayStatus.objects.get(organisation=tenant.organisation)

    await eventually(lambda: read().connected)
    seen = (await in_thread(read)).seen_at
    await eventually(lambda: read().seen_at > seen)
    assert (await in_thread(status, tenant.organisation))["connected"] is True
    await in_thread(suspend, tenant)
    await peer.closed()
    await eventually(lambda: not read().connected)

    def old() -> dict[str, Any]:
        unsuspend(tenant)
        RelayStatus.objects.filter(organisation=tenant.organisation).update(
            connected=True, seen_at=timezone.now() - STALE_AFTER
        )
        return status(Organisation.objects.get(pk=tenant.organisation.pk))

    said = await in_thread(old)
    assert said["last_error"] == "the runtime has not reported lately"
    assert said["connected"] is False and said["active_channels"] == 0


# --- the pieces -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [State.REQUESTED, State.PROVISIONING, State.SUSPENDED, State.PENDING_DELETION]
)
def test_only_active_organisations_are_served(db: None, state: State) -> None:
    organisation = make_organisation(state)
    assert roster.served(organisation.pk) == {}


def test_nobody_is_served_while_hosted_mode_is_off(db: None, settings: Any) -> None:
    organisation = make_organisation()
    assert set(roster.served()) >= {organisation.pk}
    settings.HOSTED_MODE = False
    assert roster.served() == roster.served(organisation.pk) == {}


@pytest.mark.covers("F78")
def test_registration_is_made_once_and_forgotten_without_a_trace(db: None) -> None:
    organisation = make_organisation(State.PROVISIONING)
    step = RegistrationStep()
    step.do(organisation)
    first = Registration.objects.get(organisation=organisation)
    step.do(organisation)
    second = Registration.objects.get(organisation=organisation)
    assert (first.identity_public_key, first.instance_id) == (
        second.identity_public_key,
        instance_id_for(organisation.instance_host),
    )
    assert first.identity_public_key.encode() not in bytes(second.sealed_identity_key)
    Session.objects.create(
        instance_id=first.instance_id,
        token_hash="x",
        kind="lease",
        organisation=organisation.pk,
        expires_at=timezone.now(),
    )
    step.undo(organisation)
    step.undo(organisation)
    for model in (Registration, RelayStatus):
        assert not model.objects.filter(organisation=organisation).exists()
    assert not Session.objects.filter(organisation=organisation.pk).exists()
    assert not BlockedInstance.objects.filter(organisation=organisation.pk).exists()


def test_identity_opens_only_for_its_own_organisation(db: None) -> None:
    from dataclasses import replace

    from tenants.sealing import SealError

    one, other = make_tenant(), make_tenant()
    served = roster.served(one.organisation.pk)[one.organisation.pk]
    assert served.identity().public_key == one.registration.identity_public_key
    with pytest.raises(SealError):
        replace(served, organisation=other.organisation.pk).identity()


def test_purged_organisation_leaves_only_a_block(db: None) -> None:
    """A lease that somebody kept must not bring a tombstone's id back for the rest of its day."""
    organisation = make_organisation(canary=True)
    instance_id = Registration.objects.get(organisation=organisation).instance_id
    from tenants import purging

    purging.purge(organisation=organisation, actor=Actor.system("test"))
    assert not Registration.objects.filter(pk=organisation.pk).exists()
    assert not RelayStatus.objects.filter(pk=organisation.pk).exists()
    assert BlockedInstance.objects.filter(pk=instance_id).exists()
    forget(organisation)  # again, as a resumed purge does


def test_restored_organisation_is_unblocked_only_if_it_was_active(db: None) -> None:
    from relay.effects import RelayEffect

    organisation = make_organisation()
    effect = RelayEffect()
    blocked = BlockedInstance.objects.filter(organisation=organisation.pk)
    effect.pending_deletion(organisation)
    effect.pending_deletion(organisation)
    assert blocked.count() == 1
    organisation.state = State.SUSPENDED
    effect.restored(organisation)
    assert blocked.count() == 1
    organisation.state = State.ACTIVE
    effect.restored(organisation)
    assert blocked.count() == 0


def test_switching_to_the_same_runtime_does_nothing(db: None) -> None:
    tenant = make_tenant()
    switch_runtime(organisation=tenant.organisation, to=Runtime.BUILTIN, actor=ACTOR)
    with in_schema(tenant.organisation):
        assert len(tokens.listed(purpose=mobile.PURPOSE)) == 1
    assert owner_of(tenant.organisation)
    assert not Event.objects.filter(
        organisation=tenant.organisation.pk, action="runtime_switched"
    ).exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.2, "1s"), (45, "45s"), (300, "5m0s"), (61.5, "1m2s"), (3600, "1h0m0s")],
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration(seconds) == text
