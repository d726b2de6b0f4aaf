"""Runs ORM work for the event loop: a few threads, each with its own connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections, connection
from django.db.utils import InterfaceError, OperationalError

Result = TypeVar("Result")


class Database:
    """Two small pools. What a phone waits for has its own, so that a lease which waits for a locked
    organisation never delays another organisation's phone."""

    def __init__(self) -> None:
        self._urgent = ThreadPoolExecutor(2, thread_name_prefix="urgent")
        self._other = ThreadPoolExecutor(3, thread_name_prefix="other")

    async def urgent(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._urgent, _guarded, work)

    async def run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._other, _guarded, work)

    def close(self) -> None:
        """Does not wait for work that hangs: the process is ending."""
        for pool in (self._urgent, self._other):
            pool.shutdown(wait=False, cancel_futures=True)


def _guarded(work: Callable[[], Result]) -> Result:
    close_old_connections()
    try:
        return work()
    except (OperationalError, InterfaceError):
        connection.close()  # the next piece of work gets a new one
        raise
