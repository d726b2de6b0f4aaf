"""manage.py worker: runs jobs and periodic tasks until told to stop."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from procrastinate import exceptions
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.contrib.django.utils import connector_params
from procrastinate.psycopg_connector import PsycopgConnector

from pulsecloud import outages

RETRY_FIRST, RETRY_MOST = 0.5, 5.0
GRACEFUL_SECONDS = 15.0
# Wait for a connection. Stopping asks for one too, and when everything stops there may be none.
POOL_SECONDS = 5.0
# A NOTIFY that comes while a fetch is under way is taken for an old one; this is how late such a
# job starts.
FETCH_SECONDS = 0.5
# tenants.tasks takes up the jobs of a worker that was silent for eight of these.
HEARTBEAT_SECONDS = 1.0
log = structlog.get_logger(__name__)


class ReconnectingConnector(DjangoConnector):
    """Django's own connection, replaced when it broke.

    Jobs defer further jobs through it, so that these are part of the job's transaction. The
    periodic tasks use it from a thread that no request or job ever tidies up.
    """

    @property
    def connection(self) -> BaseDatabaseWrapper:
        connection: BaseDatabaseWrapper = connections[self.alias]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        return connection


class Command(BaseCommand):
    help = (
        "Runs Procrastinate's jobs and periodic tasks. SIGTERM lets running jobs finish. A lost "
        "database is waited for, so that its restart does not count as a death of the worker."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=settings.WORKER_CONCURRENCY)

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(self._run(options["concurrency"]))

    async def _run(self, concurrency: int) -> None:
        self.stopping = asyncio.Event()
        self.current: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        wait = RETRY_FIRST
        while not self.stopping.is_set():
            begun = loop.time()
            reason, remedy = "a part of the worker failed", "look at the errors above"
            try:
                await self._work(concurrency)
            except (exceptions.ConnectorException, OperationalError, OSError) as error:
                reason, remedy = type(error).__name__, outages.database()
            if self.stopping.is_set():
                return
            wait = RETRY_FIRST if loop.time() - begun > 30 else min(wait * 2, RETRY_MOST)
            log.warning("worker starts over", reason=reason, retry_in=wait, remedy=remedy)
            try:
                await asyncio.wait_for(self.stopping.wait(), wait)
            except TimeoutError:
                continue

    def _stop(self) -> None:
        self.stopping.set()
        if self.current is not None:
            self.current.cancel()  # Procrastinate takes this as "finish what runs, then end"

    async def _work(self, concurrency: int) -> None:
        django_connector = ReconnectingConnector()
        with app.replace_connector(django_connector):
            # The worker's own questions go through a pool; tasks keep the Django connector.
            own = app.with_connector(
                PsycopgConnector(
                    kwargs=connector_params(django_connector.alias), timeout=POOL_SECONDS
                )
            )
            async with own.open_async():
                self.current = asyncio.create_task(
                    own.run_worker_async(
                        concurrency=concurrency,
                        install_signal_handlers=False,
                        shutdown_graceful_timeout=GRACEFUL_SECONDS,
                        fetch_job_polling_interval=FETCH_SECONDS,
                        update_heartbeat_interval=HEARTBEAT_SECONDS,
                    )
                )
                try:
                    await self.current
                except asyncio.CancelledError:
                    if not self.stopping.is_set():
                        raise
                finally:
                    self.current = None
