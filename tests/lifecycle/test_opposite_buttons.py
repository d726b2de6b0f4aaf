"""Opposite decisions at the very same time: one wins, the other is told, and the state is one of the
table with the fields that it needs (F64)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from audit.actors import Actor
from audit.models import Event
from relay.server.models import BlockedInstance
from tenants import lifecycle, provisioning
from tenants.models import Organisation, Removal, State, SuspendedBy
from tenants.states import TransitionRefused, locked
from tests.factories import make_organisation

PLATFORM = SuspendedBy.PLATFORM
ACTIONS = ["org_suspended", "org_unsuspended", "org_soft_deleted", "org_restored"]
ROUNDS = 6


def decide(verb: Any, organisation: Organisation, seen: str) -> Callable[[], str]:
    def decided() -> str:
        try:
            verb(
                organisation=organisation,
                by=PLATFORM,
                actor=Actor.system("race"),
                reason="race",
                seen=seen,
            )
        except TransitionRefused as refused:
            return refused.code
        return "done"

    return decided


def at_once(*calls: Callable[[], str]) -> list[str]:
    """What each said; all begin together."""
    said: list[str] = [""] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(place: int, call: Callable[[], str]) -> None:
        try:
            barrier.wait(20)
            said[place] = call()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return said


def agree(organisation: Organisation) -> None:
    """State, removal and the relay's block say the same."""
    organisation.refresh_from_db()
    waiting = organisation.state == State.PENDING_DELETION
    assert Removal.objects.filter(organisation=organisation).exists() == waiting
    blocked = BlockedInstance.objects.filter(organisation=organisation.pk).exists()
    assert blocked == (organisation.state != State.ACTIVE)


@pytest.mark.covers("F64")
@pytest.mark.parametrize(
    ("before", "one", "other"),
    [
        (State.ACTIVE, lifecycle.suspend, lifecycle.soft_delete),
        (State.SUSPENDED, lifecycle.unsuspend, lifecycle.soft_delete),
        (State.PENDING_DELETION, lifecycle.restore, lifecycle.restore),
        (State.ACTIVE, lifecycle.soft_delete, lifecycle.soft_delete),
    ],
)
def test_one_wins_and_the_other_is_told(live_db: None, before: str, one: Any, other: Any) -> None:
    organisation = make_organisation(before)
    made = Event.objects.filter(organisation=organisation.pk, action__in=ACTIONS).count()
    said = at_once(decide(one, organisation, before), decide(other, organisation, before))
    assert said.count("done") == 1
    (refusal,) = [word for word in said if word != "done"]
    assert refusal in (
        "changed_meanwhile",
        "already_pending_deletion",
        "already_suspended",
        "not_suspended",
        "not_pending_deletion",
    )
    events = Event.objects.filter(organisation=organisation.pk, action__in=ACTIONS)
    assert events.count() == made + 1
    agree(organisation)


@pytest.mark.covers("F64")
def test_deleting_while_restoring_never_ends_in_between(live_db: None) -> None:
    organisation = make_organisation()
    for _ in range(ROUNDS):
        at_once(
            decide(lifecycle.soft_delete, organisation, ""),
            decide(lifecycle.restore, organisation, ""),
            decide(lifecycle.suspend, organisation, ""),
            decide(lifecycle.unsuspend, organisation, ""),
        )
        agree(organisation)


@pytest.mark.covers("F64")
def test_who_restores_waits_for_who_deletes(live_db: None) -> None:
    """A restore that comes while the deletion is not committed sees what the deletion made."""
    organisation = make_organisation()
    holding, go_on = threading.Event(), threading.Event()

    def delete() -> str:
        with transaction.atomic():
            said = decide(lifecycle.soft_delete, organisation, "")()
            holding.set()
            assert go_on.wait(20)
        return said

    def restore() -> str:
        assert holding.wait(20)
        threading.Timer(0.3, go_on.set).start()
        return decide(lifecycle.restore, organisation, "")()

    assert at_once(delete, restore) == ["done", "done"]
    agree(organisation)
    assert organisation.state == State.ACTIVE


@pytest.mark.covers("F64")
@pytest.mark.parametrize("verb", [lifecycle.suspend, lifecycle.soft_delete])
def test_nothing_is_decided_about_one_that_is_being_provisioned(live_db: None, verb: Any) -> None:
    """Whoever comes before the last step committed is told that it is not ready; who waits for the
    row lock of the last step finds it active. Never is one half provisioned and shut."""
    organisation = make_organisation(State.PROVISIONING)
    said: list[str] = []

    def provision() -> str:
        provisioning.run(organisation.pk)
        return "provisioned"

    def press() -> str:
        for _ in range(200):
            said.append(decide(verb, organisation, "")())
            if said[-1] == "done":
                break
        return "pressed"

    assert at_once(provision, press) == ["provisioned", "pressed"]
    assert set(said) <= {"org_not_ready", "done"}
    organisation.refresh_from_db()
    assert organisation.provisioned_at is not None
    if said[-1] != "done":
        assert decide(verb, organisation, "")() == "done"
    agree(organisation)


@pytest.mark.covers("F64")
def test_a_step_that_waits_for_the_row_does_not_revive_one_that_left(live_db: None) -> None:
    """Between two steps somebody ends it: the next step sees that and stops."""
    organisation = make_organisation(State.PROVISIONING, canary=True)
    with transaction.atomic():
        locked(organisation)
        Organisation.objects.filter(pk=organisation.pk).update(state=State.FAILED)
    provisioning.run(organisation.pk)
    organisation.refresh_from_db()
    assert organisation.state == State.FAILED
