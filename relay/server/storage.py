"""The way from the event loop to the database: a few threads, each with its own connection.

The relay's ORM work is short and runs here only. A job that is not done in time, and every kind of
database trouble, is `StorageDown`: the caller refuses, nothing waits for ever (fails closed).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError, connection, transaction

log = logging.getLogger(__name__)
T = TypeVar("T")

POSTGRESQL_THREADS = 4
SQLITE_THREADS = 1  # SQLite has one writer; a second one would only wait for its lock


class StorageDown(Exception):
    """The database did not answer, or not in time."""


class _GivenUp(Exception):
    """Nobody waits for the result any more."""


class Storage:
    def __init__(self, *, timeout: float) -> None:
        """`timeout`: seconds that a caller waits, queueing included."""
        self.timeout = timeout
        threads = SQLITE_THREADS if connection.vendor == "sqlite" else POSTGRESQL_THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="storage")
        self._down = False

    async def run(self, work: Callable[[], T]) -> T:
        """`work()` in a thread, and a second time when the connection turns out to be lost. Raises
        StorageDown."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                done = await loop.run_in_executor(self._threads, _run, work)
        except (TimeoutError, _GivenUp):
            self._is(down=True, why=f"no answer within {self.timeout:g} s")
            raise StorageDown from None
        except Error as error:
            self._is(down=True, why=type(error).__name__)
            raise StorageDown from None
        self._is(down=False)
        return done

    async def change(self, work: Callable[[], T]) -> T:
        """The same in one transaction, which is rolled back when the caller has given up waiting:
        a session must not change behind the back of an instance that was told to try again."""
        given_up = threading.Event()

        def changing() -> T:
            with transaction.atomic():
                done = work()
                if given_up.is_set():
                    raise _GivenUp
                return done

        try:
            return await self.run(changing)
        finally:
            given_up.set()

    async def answers(self) -> bool:
        """Whether the database can be asked now."""
        try:
            await self.run(_ask)
        except StorageDown:
            return False
        return True

    def close(self) -> None:
        """Drops what waits. A thread that hangs in the database is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is(self, *, down: bool, why: str = "") -> None:
        if down != self._down:
            self._down = down
            if down:
                remedy = "start it; live connections stay, and nothing here has to be restarted"
                log.error("database does not answer", extra={"why": why, "remedy": remedy})
            else:
                log.info("database answers again")


def _run(work: Callable[[], T]) -> T:
    try:
        return work()
    except (OperationalError, InterfaceError):
        connection.close()  # a server that restarted leaves dead connections behind
    try:
        return work()
    except Error:
        connection.close()
        raise


def _ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
