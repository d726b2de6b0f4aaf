"""soft_delete and restore: what they keep, whom they refuse, and that nothing stale is left (H5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from rbac import tokens
from relay.server.models import BlockedInstance
from tenants import lifecycle, states
from tenants.models import Organisation, Removal, State, SuspendedBy
from tenants.schemas import in_schema
from tenants.states import TransitionRefused
from tests.factories import make_organisation, make_token, owner_of
from tests.lifecycle.test_verbs import moved

pytestmark = pytest.mark.django_db
OWNER, PLATFORM, BILLING = SuspendedBy.OWNER, SuspendedBy.PLATFORM, SuspendedBy.BILLING
ACTOR = Actor.system("test")
OF_A_DELETION = ("deletion_requested_at", "retention_days", "state_before_deletion")


def delete(organisation: Organisation, by: SuspendedBy = PLATFORM, **rest: Any) -> Organisation:
    return lifecycle.soft_delete(organisation=organisation, by=by, actor=ACTOR, **rest)


def restore(organisation: Organisation, by: SuspendedBy = PLATFORM, **rest: Any) -> Organisation:
    return lifecycle.restore(organisation=organisation, by=by, actor=ACTOR, **rest)


def code_of(verb: Any, *arguments: Any, **rest: Any) -> str:
    with pytest.raises(TransitionRefused) as refused:
        verb(*arguments, **rest)
    return refused.value.code


def fields(organisation: Organisation, *but: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(Organisation.objects.filter(pk=organisation.pk).values().get())
    return {name: value for name, value in row.items() if name not in ("changed_at", *but)}


def over(organisation: Organisation) -> None:
    """Its retention ends now."""
    Removal.objects.filter(organisation=organisation).update(due_at=timezone.now())


def test_keeps_everything_until_the_retention_is_over() -> None:
    organisation = make_organisation()
    secret = make_token(organisation)
    before = fields(organisation)
    now = timezone.now()
    deleted = delete(organisation, OWNER, retention_days=7)
    assert deleted.state == State.PENDING_DELETION
    assert (deleted.retention_days, deleted.state_before_deletion) == (7, State.ACTIVE)
    removal = Removal.objects.get(organisation=organisation)
    assert removal.requested_by == OWNER
    assert removal.requested_at == deleted.deletion_requested_at
    assert removal.due_at == removal.requested_at + timedelta(days=7)
    assert timedelta() <= removal.requested_at - now < timedelta(seconds=30)
    assert states.due_at(deleted) == removal.due_at
    assert fields(organisation, "state", *OF_A_DELETION).items() <= before.items()
    assert BlockedInstance.objects.filter(organisation=organisation.pk).exists()
    with in_schema(organisation):
        assert tokens.find(secret) is not None


@pytest.mark.covers("F65")
def test_restoring_inside_the_retention_puts_everything_back() -> None:
    organisation = make_organisation()
    before = fields(organisation)
    delete(organisation)
    restored = restore(organisation, reason="asked by telephone")
    assert restored.state == State.ACTIVE
    assert fields(organisation) == before
    assert not Removal.objects.filter(organisation=organisation).exists()
    assert not BlockedInstance.objects.filter(organisation=organisation.pk).exists()
    event = Event.objects.get(action="org_restored", organisation=organisation.pk)
    assert event.reason == "asked by telephone"
    assert event.before is not None and event.before["state"] == "pending_deletion"
    assert event.after is not None and event.after["state"] == "active"


@pytest.mark.covers("H5")
def test_a_suspension_comes_back_with_who_made_it_and_why() -> None:
    organisation = make_organisation()
    lifecycle.suspend(organisation=organisation, by=PLATFORM, actor=ACTOR, reason="abuse")
    before = fields(organisation)
    delete(organisation, OWNER)
    assert fields(organisation, "state", *OF_A_DELETION).items() <= before.items()
    restored = restore(organisation, OWNER)
    assert restored.state == State.SUSPENDED
    assert fields(organisation) == before
    assert BlockedInstance.objects.filter(organisation=organisation.pk).exists()
    # Deleting and restoring is no way round H6: the owner still cannot lift it.
    with pytest.raises(TransitionRefused) as refused:
        lifecycle.unsuspend(organisation=organisation, by=OWNER, actor=ACTOR)
    assert refused.value.code == "suspended_by_other"


@pytest.mark.covers("H5")
def test_deleting_restoring_and_deleting_again_begins_a_new_retention() -> None:
    organisation = make_organisation()
    first = delete(organisation, retention_days=1).deletion_requested_at
    restore(organisation)
    again = delete(organisation, retention_days=2)
    assert first is not None and again.deletion_requested_at is not None
    assert again.deletion_requested_at > first
    removal = Removal.objects.get(organisation=organisation)
    assert removal.due_at == again.deletion_requested_at + timedelta(days=2)


@pytest.mark.covers("F65")
def test_once_the_retention_is_over_nobody_has_it_back() -> None:
    organisation = make_organisation()
    delete(organisation)
    over(organisation)
    before = fields(organisation)
    for by in (OWNER, PLATFORM):
        assert code_of(restore, organisation, by) == "retention_over"
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PURGING)
    assert code_of(restore, organisation) == "retention_over"
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PENDING_DELETION)
    assert fields(organisation) == before


@pytest.mark.parametrize("days", [1, 30, 365])
def test_retention_from_one_day_to_a_year(days: int) -> None:
    assert delete(make_organisation(), retention_days=days).retention_days == days


@pytest.mark.parametrize("days", [0, -1, 366, 10**12])
def test_no_other_retention_whatever_the_state(days: int) -> None:
    organisation = make_organisation()
    assert code_of(delete, organisation, retention_days=days) == "invalid_retention_days"
    delete(organisation)
    assert code_of(delete, organisation, retention_days=days) == "invalid_retention_days"


@pytest.mark.parametrize(
    ("state", "deleting", "restoring"),
    [
        (State.REQUESTED, "org_not_ready", "not_pending_deletion"),
        (State.PROVISIONING, "org_not_ready", "not_pending_deletion"),
        (State.FAILED, "org_not_ready", "not_pending_deletion"),
        (State.ACTIVE, None, "not_pending_deletion"),
        (State.SUSPENDED, None, "not_pending_deletion"),
        (State.PENDING_DELETION, "already_pending_deletion", None),
        (State.PURGING, "already_pending_deletion", "retention_over"),
        (State.DELETED, "already_pending_deletion", "not_pending_deletion"),
    ],
)
def test_conflicts_have_stable_codes_and_change_nothing(
    state: str, deleting: str | None, restoring: str | None
) -> None:
    organisation = make_organisation(state)
    before, trail = fields(organisation), Event.objects.count()
    if deleting:
        assert code_of(delete, organisation) == deleting
    if restoring:
        assert code_of(restore, organisation) == restoring
    assert fields(organisation) == before
    assert Event.objects.count() == trail


@pytest.mark.parametrize(
    ("asked", "cancels", "works"),
    [
        (OWNER, OWNER, True),
        (OWNER, PLATFORM, True),
        (PLATFORM, PLATFORM, True),
        (PLATFORM, OWNER, False),
        (BILLING, OWNER, False),
    ],
)
@pytest.mark.covers("H6")
def test_only_the_same_kind_or_the_platform_cancels(
    asked: SuspendedBy, cancels: SuspendedBy, works: bool
) -> None:
    organisation = make_organisation()
    delete(organisation, asked)
    if works:
        assert restore(organisation, cancels).state == State.ACTIVE
    else:
        assert code_of(restore, organisation, cancels) == "deletion_by_other"


def test_what_was_decided_about_something_else_is_refused() -> None:
    organisation = make_organisation()
    assert code_of(delete, organisation, seen="suspended") == "changed_meanwhile"
    assert delete(organisation, seen="active").state == State.PENDING_DELETION
    # Where the table says no, that is the answer.
    assert code_of(delete, organisation, seen="active") == "already_pending_deletion"


def test_counts_and_notes_each_transition(django_capture_on_commit_callbacks: Any) -> None:
    organisation = make_organisation()
    ways = [("active", "pending_deletion"), ("pending_deletion", "active")]
    before = [moved(*way) for way in ways]
    with django_capture_on_commit_callbacks(execute=True):
        delete(organisation)
        code_of(delete, organisation)
        restore(organisation)
        code_of(restore, organisation)
    assert [moved(*way) for way in ways] == [count + 1 for count in before]
    event = Event.objects.get(action="org_soft_deleted", organisation=organisation.pk)
    assert event.reason == "soft_delete"
    assert event.after is not None and event.after["retention_days"] == 30


def test_a_failing_effect_undoes_it(monkeypatch: Any) -> None:
    organisation = make_organisation()
    before = fields(organisation)

    def fail(*_: Any) -> None:
        raise RuntimeError("effect")

    monkeypatch.setattr("tenants.effects.SchemaEffect.pending_deletion", fail)
    with pytest.raises(RuntimeError):
        delete(organisation)
    assert fields(organisation) == before
    assert not Removal.objects.filter(organisation=organisation).exists()
    assert not BlockedInstance.objects.filter(organisation=organisation.pk).exists()


def test_effects_may_read_when_it_is_due(monkeypatch: Any) -> None:
    organisation, seen = make_organisation(), []

    def look(_: Any, subject: Organisation) -> None:
        seen.append((subject.state, states.due_at(subject)))

    monkeypatch.setattr("tenants.effects.SchemaEffect.pending_deletion", look)
    delete(organisation)
    due = Removal.objects.get(organisation=organisation).due_at
    assert seen == [(State.PENDING_DELETION, due)]


def test_only_what_is_due_may_be_purged() -> None:
    now = timezone.now()
    waiting, failed = make_organisation(), make_organisation(State.FAILED)
    delete(waiting)
    waiting.refresh_from_db()
    for subject in (waiting, make_organisation(), make_organisation(State.SUSPENDED)):
        assert code_of(states.require_purgeable, subject, now=now) == "retention_required"
    states.require_purgeable(waiting, now=now + timedelta(days=30, seconds=30))
    states.require_purgeable(failed, now=now)
    states.require_purgeable(make_organisation(canary=True), now=now)
    ended = make_organisation(State.DELETED)
    assert code_of(states.require_purgeable, ended, now=now) == "already_deleted"
    assert owner_of(waiting) is not None
