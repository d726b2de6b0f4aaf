"""The worker's sweeps: jobs of dead workers, forgotten organisations, and what is out of date."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tenants import jobs, tasks
from tenants.models import Organisation, Session, State
from tests.factories import make_organisation
from tests.provisioning.looking import proved

pytestmark = pytest.mark.django_db


def sql(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def worker(silent_for: float) -> int:
    """A worker whose last heartbeat is so many seconds ago; returns its id."""
    seconds = timedelta(seconds=silent_for)
    return int(
        sql(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s) RETURNING id",
            seconds,
        )[0][0]
    )


def job(task: str, worker_id: int | None, lock: str | None = None, **arguments: Any) -> int:
    """A job that this worker took; without a worker, one whose worker was forgotten."""
    assert jobs.defer(task, queueing_lock=lock, **arguments)
    job_id = int(sql("SELECT max(id) FROM procrastinate_jobs")[0][0])
    sql(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
        worker_id,
        job_id,
    )
    return job_id


def status(job_id: int) -> str | None:
    rows = sql("SELECT status FROM procrastinate_jobs WHERE id = %s", job_id)
    return str(rows[0][0]) if rows else None


def sweep() -> None:
    tasks.sweep(timestamp=int(time.time()))


def test_jobs_of_dead_workers_are_queued_again_and_others_left_alone() -> None:
    dead = job("tenants.tasks.deliver", worker(tasks.WORKER_SILENT_SECONDS + 1), mail=1)
    forgotten = job("tenants.tasks.deliver", None, mail=2)
    alive = job("tenants.tasks.deliver", worker(1), mail=3)
    sweep()
    assert (status(dead), status(forgotten), status(alive)) == ("todo", "todo", "doing")


def test_a_job_that_waits_anyway_is_not_doubled() -> None:
    dead = job("tenants.tasks.deliver", None, "mail:7", mail=7)
    assert jobs.defer("tenants.tasks.deliver", queueing_lock="mail:7", mail=7)
    sweep()
    assert status(dead) is None
    assert sql("SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = 'mail:7'") == [(1,)]


def test_of_two_dead_jobs_for_the_same_work_one_goes_on() -> None:
    """A worker took it up again and died, too; both in the queue would be refused, and every sweep."""
    first = job("tenants.tasks.deliver", worker(60), "mail:8", mail=8)
    second = job("tenants.tasks.deliver", worker(30), "mail:8", mail=8)
    other = job("tenants.tasks.deliver", None, mail=9)
    sweep()
    assert (status(first), status(second), status(other)) == (None, "todo", "todo")


def test_dead_sweeps_and_done_ones_leave_no_rows() -> None:
    assert jobs.defer(tasks.sweep.name, timestamp=1)
    done = int(sql("SELECT max(id) FROM procrastinate_jobs")[0][0])
    sql("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", done)
    sql("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", done)
    dead = job(tasks.sweep.name, worker(60), timestamp=2)
    sweep()
    assert (status(done), status(dead)) == (None, None)


def test_an_organisation_that_nobody_provisions_gets_a_job() -> None:
    organisation = proved()
    jobs.forget(organisation=str(organisation.pk))
    sweep()
    sweep()
    rows = sql(
        "SELECT status FROM procrastinate_jobs WHERE args->>'organisation' = %s",
        str(organisation.pk),
    )
    assert rows == [("todo",)]


def test_a_retry_that_waits_for_its_time_is_not_hurried() -> None:
    organisation = proved()
    later = timezone.now() + timedelta(minutes=5)
    sql(
        "UPDATE procrastinate_jobs SET scheduled_at = %s WHERE args->>'organisation' = %s",
        later,
        str(organisation.pk),
    )
    sweep()
    rows = sql(
        "SELECT scheduled_at FROM procrastinate_jobs WHERE args->>'organisation' = %s",
        str(organisation.pk),
    )
    assert rows == [(later,)]


def test_a_purge_that_was_cut_off_is_finished_but_not_while_hosted_mode_is_off(
    settings: Any,
) -> None:
    organisation = make_organisation(canary=True)
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PURGING)
    settings.HOSTED_MODE = False
    sweep()
    organisation.refresh_from_db()
    assert organisation.state == State.PURGING
    settings.HOSTED_MODE = True
    sweep()
    organisation.refresh_from_db()
    assert organisation.state == State.DELETED


def test_tidying_forgets_what_is_out_of_date(settings: Any) -> None:
    unproved = make_organisation(State.REQUESTED)
    Organisation.objects.filter(pk=unproved.pk).update(
        created_at=timezone.now() - timedelta(seconds=settings.SIGNUP_LINK_LIFE + 1)
    )
    for key, days in (("old", -1), ("new", 1)):
        Session.objects.create(
            session_key=key, session_data="", expire_date=timezone.now() + timedelta(days=days)
        )
    old, new = (job("tenants.tasks.deliver", None, mail=n) for n in (1, 2))
    sql("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = ANY(%s)", [old, new])
    sql("UPDATE procrastinate_events SET at = now() - interval '8 days' WHERE job_id = %s", old)
    tasks.tidy(timestamp=int(time.time()))
    unproved.refresh_from_db()
    assert unproved.state == State.EXPIRED
    assert list(Session.objects.values_list("pk", flat=True)) == ["new"]
    assert (status(old), status(new)) == (None, "succeeded")
