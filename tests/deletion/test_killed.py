"""SIGKILL at every named point of a deletion: nothing half done, and the next reaper ends it.

The victim is a forked process with a database connection of its own, killed for real.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections

from audit.models import Event
from relay.effects import RelayEffect
from tenants import lifecycle, locks, schemas
from tenants.deletion import claims, reaper
from tenants.models import (
    Backup,
    BackupKind,
    DeletionReceipt,
    Organisation,
    OutboxMail,
    Removal,
    State,
    SuspendedBy,
)
from tests.deletion.aging import ACTOR, overdue, reap, state_of
from tests.waiting import until

STEPS = ["relay", "tokens", "entitlement", "caches", "people", "schema"]
POINTS = ["before_record", "before_commit", "after_commit"]


@pytest.fixture
def organisation(live_db: None) -> Organisation:
    return overdue(days=1)


def killed_at(fault: str, organisation: Organisation) -> bool:
    """Reaps in a process of its own; whether that was killed at the point."""
    connections.close_all()  # a connection must not be shared with the child
    pid = os.fork()
    if pid == 0:
        try:
            settings.FAULT = fault
            reap(organisation)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def finish(organisation: Organisation) -> None:
    """PostgreSQL notices the broken connection within a moment; then another reaper goes on."""

    def done() -> bool:
        try:
            reap(organisation)
        except claims.Busy:
            return False
        return True

    until(done, 10)


def assert_gone_once(organisation: Organisation) -> None:
    assert state_of(organisation) == State.DELETED
    assert not schemas.schema_exists(organisation.schema_name)
    assert not Removal.objects.filter(organisation=organisation).exists()
    assert DeletionReceipt.objects.filter(organisation=organisation).count() == 1
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    assert receipt.document["steps"] == STEPS
    assert receipt.document["copies"]["final"] is not None
    assert Event.objects.filter(action="org_reaped", organisation=organisation.pk).count() == 1
    started = Event.objects.filter(action="org_purge_started", organisation=organisation.pk)
    assert started.count() == 1
    kept = Backup.objects.filter(organisation=organisation, kind=BackupKind.FINAL)
    assert [backup.state for backup in kept] == ["done"], "one final copy, however often killed"
    subjects = OutboxMail.objects.filter(
        subject__endswith="was deleted", body__contains=str(receipt.pk)
    )
    assert subjects.count() == 1


@pytest.mark.covers("F64")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", STEPS)
def test_in_the_middle_of_an_effect(organisation: Organisation, step: str, point: str) -> None:
    """That of dropping the schema included: PostgreSQL has it back, or it is gone and noted."""
    assert killed_at(f"reap.{step}.{point}", organisation)
    done = STEPS[: STEPS.index(step) + (point == "after_commit")]
    assert Removal.objects.get(organisation=organisation).done == done
    assert state_of(organisation) == State.PURGING
    assert schemas.schema_exists(organisation.schema_name) == ("schema" not in done)
    finish(organisation)
    assert_gone_once(organisation)


@pytest.mark.covers("F64")
@pytest.mark.parametrize("point", ["claimed", "copied", "begin.before_commit"])
def test_before_it_began_it_can_still_be_put_off(organisation: Organisation, point: str) -> None:
    assert killed_at(f"reap.{point}", organisation)
    assert state_of(organisation) == State.PENDING_DELETION
    finish(organisation)
    assert_gone_once(organisation)


@pytest.mark.covers("F64")
@pytest.mark.parametrize("point", ["begin.after_commit", "bury.before_commit"])
def test_once_begun_only_forward(organisation: Organisation, point: str) -> None:
    assert killed_at(f"reap.{point}", organisation)
    assert state_of(organisation) == State.PURGING
    for verb in (lifecycle.restore, lifecycle.soft_delete, lifecycle.suspend):
        with pytest.raises(lifecycle.TransitionRefused):
            verb(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    until(lambda: state_of(organisation) == State.DELETED or not reaper.resume(), 10)
    until(lambda: state_of(organisation) == State.DELETED, 10)
    assert_gone_once(organisation)


def test_after_the_last_commit_all_is_done(organisation: Organisation) -> None:
    assert killed_at("reap.bury.after_commit", organisation)
    assert_gone_once(organisation)


@pytest.mark.covers("F64")
def test_of_many_reapers_at_once_one_does_it(organisation: Organisation) -> None:
    said: list[str] = []
    barrier = threading.Barrier(4)

    def race() -> None:
        try:
            barrier.wait(10)
            said.append(reap(organisation).action)
        except claims.Busy:
            said.append("busy")
        except lifecycle.TransitionRefused as refused:
            said.append(refused.code)
        except Exception as error:
            said.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said.count("deleted") == 1
    assert set(said) <= {"deleted", "busy", "already_deleted"}
    assert_gone_once(organisation)


@pytest.mark.covers("F64")
def test_a_reaper_that_lost_its_claim_stops(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection broke and another one took over: it must not go on beside it."""
    before = RelayEffect.purge

    def purge(self: Any, organisation: Any) -> None:
        before(self, organisation)
        Removal.objects.filter(organisation=organisation).update(claimed_at=None)

    monkeypatch.setattr(RelayEffect, "purge", purge)
    with pytest.raises(claims.Busy):
        reap(organisation)
    assert Removal.objects.get(organisation=organisation).done == ["relay"]
    monkeypatch.undo()
    reap(organisation)
    assert_gone_once(organisation)


def test_while_one_is_at_it_others_leave_it_alone(organisation: Organisation) -> None:
    mine, theirs = os.pipe()
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            with locks.alone(f"reap:{organisation.pk}") as held:
                os.write(theirs, b"y" if held else b"n")
                signal.pause()
        finally:
            os._exit(0)
    assert os.read(mine, 1) == b"y"
    with pytest.raises(claims.Busy):
        reap(organisation)
    assert state_of(organisation) == State.PENDING_DELETION
    assert Removal.objects.get(organisation=organisation).attempts == 0
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(mine)
    os.close(theirs)
    finish(organisation)
    assert_gone_once(organisation)


@pytest.mark.covers("F64")
def test_restored_while_the_copy_was_made(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retention was put off and the owner came back at the last moment: nothing is removed."""
    from datetime import timedelta

    from tenants.deletion import final_copy

    make = final_copy.make

    def meanwhile(current: Organisation, **rest: Any) -> Backup:
        copy = make(current, **rest)
        removal = Removal.objects.get(organisation=current)
        Removal.objects.filter(pk=removal.pk).update(due_at=removal.due_at + timedelta(days=1))
        lifecycle.restore(organisation=current, by=SuspendedBy.OWNER, actor=ACTOR)
        return copy

    monkeypatch.setattr(final_copy, "make", meanwhile)
    with pytest.raises(claims.Busy):
        reap(organisation)
    assert state_of(organisation) == State.ACTIVE
    assert schemas.schema_exists(organisation.schema_name)
    assert not Event.objects.filter(
        action="org_purge_started", organisation=organisation.pk
    ).exists()
