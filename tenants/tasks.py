"""Jobs of this room: provision, deliver mail, and the sweeps that make up for killed workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from procrastinate import JobContext, RetryDecision
from procrastinate.contrib.django import app
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy

from tenants import limits, links, mail, provisioning, signup
from tenants.accounts import sessions
from tenants.backups import tasks as _of_backups  # noqa: F401  the queue looks for jobs in here only
from tenants.deletion import reaper, reaping
from tenants.rollout import stages

log = structlog.get_logger(__name__)

# A worker writes its heartbeat every second (`manage.py worker`); one silent for this long is dead.
WORKER_SILENT_SECONDS = 8.0


class ProvisioningRetry(BaseRetryStrategy):
    """The step says when; anything else (the database went away) is tried again soon."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        seconds = getattr(exception, "retry_in", 1.0)
        return RetryDecision(retry_in={"milliseconds": int(seconds * 1000)})


class MailRetry(BaseRetryStrategy):
    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if job.attempts >= len(mail.RETRY_AFTER):
            return None
        return RetryDecision(retry_in={"seconds": mail.RETRY_AFTER[job.attempts]})


@app.task(name="tenants.tasks.provision", retry=ProvisioningRetry(), priority=10)
def provision(*, organisation: str) -> None:
    provisioning.run(UUID(organisation))


# `mail` is the module here, so the argument that its job calls `mail` comes in by its mapping.
@app.task(name="tenants.tasks.deliver", retry=MailRetry(), pass_context=True)
def deliver(context: JobContext, /, **arguments: int) -> None:
    try:
        mail.deliver(arguments["mail"])
    except mail.NotDelivered as error:
        if context.job.attempts >= len(mail.RETRY_AFTER):
            mail.give_up(arguments["mail"], str(error))
        raise


@app.periodic(cron="* * * * * */5")
@app.task(name="tenants.tasks.sweep", queueing_lock="sweep", priority=20)
def sweep(timestamp: int) -> None:
    """Every 5 s: takes up again what killed workers left behind."""
    revived = _revive_jobs()
    stages.observe_hosted_mode()
    provisioned, purged = provisioning.sweep(), 0
    if settings.HOSTED_MODE:
        purged = len(reaper.resume())
    if revived or provisioned or purged:
        log.warning("swept", jobs=revived, provisioning=provisioned, purging=purged)
    # Without this the queue's tables would be full of sweeps.
    _sql("DELETE FROM procrastinate_jobs WHERE task_name = %s AND status = 'succeeded'", sweep.name)


@app.periodic(cron="*/5 * * * *")
@app.task(name="tenants.tasks.reap", queueing_lock="reap")
def reap(timestamp: int) -> None:
    """Every 5 min, in hosted mode only: reminds owners, then deletes what is due."""
    reaping.once()


@app.periodic(cron="*/5 * * * *")
@app.task(name="tenants.tasks.tidy", queueing_lock="tidy")
def tidy(timestamp: int) -> None:
    """Every 5 min: expires unproved sign-ups and deletes what is out of date."""
    expired = signup.expire_unproved()
    links.prune()
    limits.forget()
    mail.forget()
    sessions.SessionStore.clear_expired()
    _sql(
        "DELETE FROM procrastinate_jobs j WHERE status NOT IN ('todo', 'doing') AND NOT EXISTS ("
        " SELECT 1 FROM procrastinate_events e WHERE e.job_id = j.id AND e.at > now() - %s)",
        timedelta(days=7),
    )
    if expired:
        log.info("sign-ups expired", count=expired)


def _revive_jobs() -> int:
    """Puts jobs of dead workers back into the queue; one that is queued anyway is only ended.

    Of several for the same work, which two workers left one after the other, the newest goes back:
    the queue takes one at a time, and would refuse them all.
    """
    count = _sql(
        """
        WITH dead AS (
            SELECT j.id, j.queueing_lock, j.task_name FROM procrastinate_jobs j
            LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
            WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - %s)
            FOR UPDATE OF j SKIP LOCKED
        ), gone AS (
            SELECT d.id FROM dead d WHERE d.task_name = %s OR EXISTS (
                SELECT 1 FROM procrastinate_jobs t
                WHERE t.queueing_lock = d.queueing_lock AND t.status = 'todo')
            OR EXISTS (SELECT 1 FROM dead o WHERE o.queueing_lock = d.queueing_lock AND o.id > d.id)
        ), deleted AS (
            DELETE FROM procrastinate_jobs WHERE id IN (SELECT id FROM gone)
        )
        SELECT count(procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL))
        FROM dead WHERE id NOT IN (SELECT id FROM gone)
        """,
        timedelta(seconds=WORKER_SILENT_SECONDS),
        sweep.name,
    )
    return count


def _sql(statement: str, *parameters: Any) -> int:
    """Runs a statement; returns the number that it selected, or how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        if cursor.description:
            row = cursor.fetchone()
            return int(row[0]) if row else 0
        return int(cursor.rowcount)
