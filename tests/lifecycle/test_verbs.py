"""suspend and unsuspend: transitions, conflicts, who may lift what, audit, metric, effects."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from audit.actors import Actor
from audit.models import Event
from relay.models import Registration
from relay.server.models import BlockedInstance
from tenants import lifecycle, metrics
from tenants.models import Organisation, State, SuspendedBy
from tenants.states import TRANSITIONS, TransitionRefused, move
from tests.factories import make_organisation, owner_of

OWNER, PLATFORM, BILLING = SuspendedBy.OWNER, SuspendedBy.PLATFORM, SuspendedBy.BILLING
ACTOR = Actor.system("test")


def suspend(organisation: Organisation, by: SuspendedBy = PLATFORM, **rest: Any) -> Organisation:
    return lifecycle.suspend(organisation=organisation, by=by, actor=ACTOR, **rest)


def unsuspend(organisation: Organisation, by: SuspendedBy = PLATFORM) -> Organisation:
    return lifecycle.unsuspend(organisation=organisation, by=by, actor=ACTOR)


def code_of(verb: Any, *arguments: Any) -> str:
    with pytest.raises(TransitionRefused) as refused:
        verb(*arguments)
    return refused.value.code


def moved(before: str, after: str) -> float:
    labels = {"from_status": before, "to_status": after}
    name = "pulse_hosted_lifecycle_transitions_total"
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.django_db
def test_suspending_and_lifting_work(django_capture_on_commit_callbacks: Any) -> None:
    organisation = make_organisation()
    instance = Registration.objects.get(organisation=organisation).instance_id
    before = moved("active", "suspended"), moved("suspended", "active")
    with django_capture_on_commit_callbacks(execute=True):
        suspend(organisation, reason="unpaid")
    organisation.refresh_from_db()
    assert organisation.state == State.SUSPENDED
    assert organisation.suspended_at is not None
    assert (organisation.suspended_by, organisation.suspend_reason) == ("platform", "unpaid")
    assert BlockedInstance.objects.filter(instance_id=instance).exists()
    with django_capture_on_commit_callbacks(execute=True):
        unsuspend(organisation)
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE
    assert organisation.suspended_at is None
    assert (organisation.suspended_by, organisation.suspend_reason) == ("", "")
    assert not BlockedInstance.objects.filter(instance_id=instance).exists()
    after = moved("active", "suspended"), moved("suspended", "active")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)
    events = Event.objects.filter(organisation=organisation.pk, action__startswith="org_")
    said = {e.action: (e.actor_id, e.reason, e.before["state"], e.after["state"]) for e in events}
    assert said["org_suspended"] == ("test", "unpaid", "active", "suspended")
    assert said["org_unsuspended"] == ("test", "", "suspended", "active")


@pytest.mark.django_db
def test_suspension_unpairs_nothing() -> None:
    from rbac import tokens
    from tenants.schemas import in_schema

    organisation = make_organisation()
    token, secret = tokens.issue(
        organisation,
        user=owner_of(organisation),
        name="phone",
        scopes=["relay:mobile:access"],
        actor=ACTOR,
    )
    suspend(organisation)
    with in_schema(organisation):
        found = tokens.find(secret)
    assert found is not None
    assert found.pk == token.pk


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "suspending", "lifting"),
    [
        (State.REQUESTED, "org_not_ready", "not_suspended"),
        (State.PROVISIONING, "org_not_ready", "not_suspended"),
        (State.FAILED, "org_not_ready", "not_suspended"),
        (State.SUSPENDED, "already_suspended", None),
        (State.PENDING_DELETION, "already_pending_deletion", "not_suspended"),
        (State.PURGING, "already_pending_deletion", "not_suspended"),
        (State.ACTIVE, None, "not_suspended"),
    ],
)
def test_conflicts_have_stable_codes_and_change_nothing(
    state: str, suspending: str | None, lifting: str | None
) -> None:
    organisation = make_organisation(state)
    before = Organisation.objects.filter(pk=organisation.pk).values().get()
    trail = Event.objects.count()
    if suspending:
        assert code_of(suspend, organisation) == suspending
    if lifting:
        assert code_of(unsuspend, organisation) == lifting
    assert Organisation.objects.filter(pk=organisation.pk).values().get() == before
    assert Event.objects.count() == trail


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("suspender", "lifter", "works"),
    [
        (OWNER, OWNER, True),
        (OWNER, PLATFORM, True),
        (PLATFORM, PLATFORM, True),
        (PLATFORM, OWNER, False),
        (PLATFORM, BILLING, False),
        (BILLING, BILLING, True),
        (BILLING, OWNER, False),
        (BILLING, PLATFORM, True),
    ],
)
@pytest.mark.covers("H6")
def test_only_the_same_kind_or_the_platform_lifts(
    suspender: SuspendedBy, lifter: SuspendedBy, works: bool
) -> None:
    """H6: upstream lets the owner lift what the operator suspended."""
    organisation = make_organisation()
    suspend(organisation, suspender)
    if works:
        assert unsuspend(organisation, lifter).state == State.ACTIVE
    else:
        assert code_of(unsuspend, organisation, lifter) == "suspended_by_other"
        organisation.refresh_from_db()
        assert organisation.state == State.SUSPENDED


def test_the_table_is_the_one_of_the_design() -> None:
    assert {state: set(to) for state, to in TRANSITIONS.items() if to} == {
        "requested": {"provisioning", "expired"},
        "provisioning": {"active", "failed"},
        "failed": {"provisioning", "purging"},
        "active": {"suspended", "pending_deletion"},
        "suspended": {"active", "pending_deletion"},
        "pending_deletion": {"active", "suspended", "purging"},
        "purging": {"deleted"},
    }


@pytest.mark.parametrize("state", State.values)
def test_only_canaries_skip_retention(state: str) -> None:
    customer = Organisation(state=state)
    canary = Organisation(state=state, canary=True)
    straight = state in (State.FAILED, State.PENDING_DELETION)
    if straight:
        move(customer, State.PURGING)
    else:
        with pytest.raises(TransitionRefused):
            move(customer, State.PURGING)
    if state in (State.EXPIRED, State.PURGING, State.DELETED):
        with pytest.raises(TransitionRefused):
            move(canary, State.PURGING)
    else:
        move(canary, State.PURGING)


@pytest.mark.django_db
def test_a_failing_effect_undoes_the_verb(settings: Any, monkeypatch: Any) -> None:
    organisation = make_organisation()

    def fail(*_: Any) -> None:
        raise RuntimeError("effect")

    monkeypatch.setattr("rbac.effects.TokensEffect.suspended", fail)
    with pytest.raises(RuntimeError):
        suspend(organisation)
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE
    assert not BlockedInstance.objects.filter(organisation=organisation.pk).exists()


@pytest.mark.covers("F64")
def test_of_many_suspending_at_once_one_does_it(live_db: None) -> None:
    """The same for purging against suspending: see test_purge."""
    organisation = make_organisation()
    said: list[str] = []
    barrier = threading.Barrier(6)

    def race() -> None:
        try:
            barrier.wait(10)
            suspend(organisation)
            said.append("done")
        except TransitionRefused as refused:
            said.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(said) == ["already_suspended"] * 5 + ["done"]
    assert Event.objects.filter(organisation=organisation.pk, action="org_suspended").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("first", [OWNER, BILLING])
def test_the_platform_takes_a_suspension_over(first: SuspendedBy) -> None:
    """An owner who suspends in time must not be able to open again what staff want shut (H6)."""
    organisation = suspend(make_organisation(), first, reason="on holiday")
    since = organisation.suspended_at
    lifecycle.take_over(organisation=organisation, by=PLATFORM, actor=ACTOR, reason="abuse")
    organisation.refresh_from_db()
    assert (organisation.state, organisation.suspended_at) == (State.SUSPENDED, since)
    assert (organisation.suspended_by, organisation.suspend_reason) == ("platform", "abuse")
    assert code_of(unsuspend, organisation, first) == "suspended_by_other"
    event = Event.objects.get(action="org_suspension_taken_over", organisation=organisation.pk)
    assert event.before == {"suspended_by": first, "reason": "on holiday"}
    assert (event.after, event.reason) == ({"suspended_by": "platform"}, "abuse")
    unsuspend(organisation)
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "by", "as_whom", "seen", "code"),
    [
        (State.ACTIVE, "", PLATFORM, "", "not_suspended"),
        (State.PENDING_DELETION, "", PLATFORM, "", "not_suspended"),
        (State.SUSPENDED, PLATFORM, PLATFORM, "", "already_suspended"),
        (State.SUSPENDED, OWNER, OWNER, "", "suspended_by_other"),
        (State.SUSPENDED, OWNER, BILLING, "", "suspended_by_other"),
        (State.ACTIVE, "", PLATFORM, State.SUSPENDED, "changed_meanwhile"),  # lifted meanwhile
    ],
)
def test_what_cannot_be_taken_over(
    state: str, by: str, as_whom: SuspendedBy, seen: str, code: str
) -> None:
    organisation = make_organisation(state)
    if by:
        Organisation.objects.filter(pk=organisation.pk).update(suspended_by=by)
    before = Organisation.objects.filter(pk=organisation.pk).values().get()
    with pytest.raises(TransitionRefused) as refused:
        lifecycle.take_over(organisation=organisation, by=as_whom, actor=ACTOR, seen=seen)
    assert refused.value.code == code
    assert Organisation.objects.filter(pk=organisation.pk).values().get() == before
