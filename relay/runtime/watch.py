"""Hears of changes, and makes sure that one runtime alone serves the organisations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from django.db import connections

from relay.runtime.backoff import Backoff
from tenants import locks
from tenants.notify import RUNTIME

# Options of Django's driver that libpq does not know.
_DRIVERS_OWN = ("pool", "assume_role", "isolation_level", "server_side_binding")
STANDBY_SECONDS = 1.0  # between two tries to become the one that serves

log = structlog.get_logger(__name__)


class Event(Enum):
    LOOK = auto()  # at everything: at the start, after a lost connection, and now and then
    STAND_BY = auto()  # another runtime serves: hold nothing


@dataclass(frozen=True)
class Changed:
    """Look at one organisation."""

    organisation: UUID


async def watch() -> AsyncIterator[Event | Changed]:
    """For ever. Two runtimes with the same organisations would throw each other out at the relay
    (F40), so an advisory lock on this connection says who serves. While the database is away
    nothing is said: connections to the relay stay as they are, so phones notice nothing.
    """
    backoff = Backoff(0.2, 5.0)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                _conninfo(), autocommit=True
            ) as connection:
                backoff.forget()
                async for event in _listen(connection):
                    yield event
        except psycopg.Error as error:
            log.warning("not listening to the database", error=type(error).__name__)
            await asyncio.sleep(backoff.next())


async def _listen(connection: psycopg.AsyncConnection) -> AsyncIterator[Event | Changed]:
    waited = False
    while not await _served_by_us(connection):
        if not waited:
            log.info("another runtime serves; standing by")
            waited = True
        yield Event.STAND_BY
        await asyncio.sleep(STANDBY_SECONDS)
    await connection.execute(f'LISTEN "{RUNTIME}"')
    while True:
        yield Event.LOOK
        async for notification in connection.notifies(timeout=settings.RELAY_SWEEP_INTERVAL):
            yield _meaning(notification.payload)
        await connection.execute("SELECT 1")  # finds a connection that died without a word


async def _served_by_us(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [locks.key("runtime")])
    row = await cursor.fetchone()
    return bool(row and row[0])


def _meaning(payload: str) -> Event | Changed:
    try:
        return Changed(UUID(payload))
    except ValueError:
        return Event.LOOK


def _conninfo() -> str:
    """libpq's connection text from Django's settings. A dead network must show: without the
    keep-alives a silent server would be believed for hours."""
    database = connections.settings["default"]
    options = {k: v for k, v in database.get("OPTIONS", {}).items() if k not in _DRIVERS_OWN}
    values = {
        "dbname": database["NAME"],
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "application_name": "pulsecloud-runtime",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **options,
    }
    return psycopg.conninfo.make_conninfo(**{k: v for k, v in values.items() if v})
