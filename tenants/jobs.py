"""Defers jobs in the caller's transaction: the job exists exactly when what it is about does.

Always through Django's own connection. Inside a worker the job queue's application has a connector
of its own, and a job deferred through that would be there before (or without) the caller's commit.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.manager import JobManager
from procrastinate.tasks import configure_task

_manager = JobManager(DjangoConnector())


def defer(
    task: str, *, queueing_lock: str | None = None, priority: int = 0, **arguments: Any
) -> bool:
    """Puts a job into the queue on commit; False when one with this queueing lock waits already.

    `task` is the task's full name, such as "tenants.tasks.provision"; arguments must be JSON.
    """
    job = configure_task(
        name=task, job_manager=_manager, queueing_lock=queueing_lock, priority=priority
    )
    try:
        with transaction.atomic():  # a savepoint: a duplicate must not spoil the caller's work
            job.defer(**arguments)
    except AlreadyEnqueued:
        return False
    return True


def forget(*, organisation: str) -> None:
    """Deletes the jobs about an organisation, a running one excepted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM procrastinate_jobs WHERE args->>'organisation' = %s AND status <> 'doing'",
            [organisation],
        )
