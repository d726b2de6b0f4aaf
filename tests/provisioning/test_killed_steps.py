"""SIGKILL at every named fault point of every step: nothing half done, and the rest is done later.

The victim is a forked process with a database connection of its own, killed for real.
"""

from __future__ import annotations

import os
import signal
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connections

from tenants import locks, provisioning
from tenants.models import State
from tests.provisioning.looking import STEPS, assert_complete, assert_undone, proved, rows_about

POINTS = ["before_record", "before_commit", "after_commit"]


def killed_at(fault: str, organisation: UUID) -> bool:
    """Runs the job in a process of its own; whether that was killed at the point."""
    connections.close_all()  # a connection must not be shared with the child
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            settings.FAULT = fault
            provisioning.run(organisation)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", STEPS)
def test_the_next_worker_finishes(live_db: None, step: str, point: str) -> None:
    organisation = proved()
    assert killed_at(f"provision.{step}.{point}", organisation.pk)
    organisation.refresh_from_db()

    done = STEPS.index(step) + (point == "after_commit")
    assert [s.step for s in organisation.steps.order_by("position")] == STEPS[:done]
    expected = State.ACTIVE if (step, point) == ("active", "after_commit") else State.PROVISIONING
    assert organisation.state == expected

    provisioning.run(organisation.pk)
    assert_complete(organisation)


@pytest.mark.parametrize("step", ["schema", "lease", "active"])
def test_a_step_that_kills_its_worker_every_time_ends_undone(
    live_db: None, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PROVISIONING_ATTEMPTS", 2)
    organisation = proved()
    before = rows_about(organisation)
    fault = f"provision.{step}.before_commit"
    assert killed_at(fault, organisation.pk)
    assert killed_at(fault, organisation.pk)
    assert not killed_at(fault, organisation.pk)
    assert_undone(organisation, before)
    assert "died" in organisation.failure


def test_while_one_works_on_it_another_and_the_sweep_leave_it_alone(live_db: None) -> None:
    organisation = proved()
    drained(organisation.pk)
    mine, theirs = os.pipe()
    go, gone = os.pipe()
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            with locks.alone(f"provision:{organisation.pk}") as held:
                os.write(theirs, b"y" if held else b"n")
                os.read(go, 1)
        finally:
            os._exit(0)
    assert os.read(mine, 1) == b"y"
    provisioning.run(organisation.pk)
    provisioning.sweep()
    organisation.refresh_from_db()
    assert (organisation.state, organisation.attempts) == (State.PROVISIONING, 0)
    assert waiting(organisation.pk) == 0

    os.kill(pid, signal.SIGKILL)  # its lock goes with its connection
    os.waitpid(pid, 0)
    os.write(gone, b".")
    for fd in (mine, theirs, go, gone):
        os.close(fd)
    assert revived(organisation.pk)
    provisioning.run(organisation.pk)
    assert_complete(organisation)


def drained(organisation: UUID) -> None:
    """The job that the proof deferred counts as taken by a worker that is gone."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "DELETE FROM procrastinate_jobs WHERE args->>'organisation' = %s", [str(organisation)]
        )


def waiting(organisation: UUID) -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE args->>'organisation' = %s AND status = 'todo'",
            [str(organisation)],
        )
        return int(cursor.fetchone()[0])


def revived(organisation: UUID) -> bool:
    """PostgreSQL notices the broken connection within a moment; then the sweep defers a job."""
    from tests.waiting import until

    def swept() -> bool:
        provisioning.sweep()
        return waiting(organisation) == 1

    return until(swept, 5)
