"""Tells everybody else how the connections are: one statement for all organisations at a time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection

from relay.models import RelayStatus
from relay.runtime.database import Database

PAUSE = 0.2  # seconds between two writes: a burst of changes is one statement

log = structlog.get_logger(__name__)
_COLUMNS = (
    ("organisation_id", "uuid"),
    ("connected", "boolean"),
    ("connected_at", "timestamptz"),
    ("credential", "text"),
    ("credential_expires_at", "timestamptz"),
    ("active_channels", "integer"),
    ("last_error", "text"),
    ("reconnect_at", "timestamptz"),
)
# Only rows that are there: a purge took the row away, and no late heartbeat may bring it back.
# `connected_at` stays when we go: the relay has confirmed the id once, and that remains true.
_UPDATE = f"""
UPDATE {RelayStatus._meta.db_table} AS s
SET connected = u.connected,
    connected_at = coalesce(u.connected_at, s.connected_at),
    credential = u.credential,
    credential_expires_at = u.credential_expires_at,
    active_channels = u.active_channels,
    last_error = u.last_error,
    reconnect_at = u.reconnect_at,
    seen_at = now()
FROM unnest({", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS)})
     AS u ({", ".join(name for name, _ in _COLUMNS)})
WHERE s.organisation_id = u.organisation_id
"""  # noqa: S608 - the names are ours


@dataclass
class Line:
    """What is said of one organisation."""

    organisation: UUID
    connected: bool = False
    connected_at: datetime | None = None
    credential: str = ""
    credential_expires_at: datetime | None = None
    active_channels: int = 0
    last_error: str = ""
    reconnect_at: datetime | None = None

    def connect(self, credential: str, expires_at: float | None) -> None:
        self.connected, self.connected_at = True, datetime.now(UTC)
        self.credential = credential
        self.credential_expires_at = None if expires_at is None else _moment(expires_at)
        self.active_channels, self.last_error, self.reconnect_at = 0, "", None

    def disconnect(self) -> None:
        self.connected, self.connected_at, self.active_channels = False, None, 0

    def fail(self, text: str) -> None:
        self.last_error = text[:200]

    def wait(self, seconds: float) -> None:
        self.reconnect_at = _moment(time.time() + seconds) if seconds > 0 else None


class Reporter:
    """Collects lines and writes the changed ones soon, all of them as a heartbeat."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lines: dict[UUID, Line] = {}
        self._changed: dict[UUID, Line] = {}
        self._something = asyncio.Event()

    def changed(self, line: Line) -> None:
        self._lines[line.organisation] = line
        self._changed[line.organisation] = line
        self._something.set()

    def forget(self, line: Line) -> None:
        """We no longer serve it: says so once more and then nothing."""
        line.disconnect()
        line.last_error, line.reconnect_at = "", None
        if self._lines.setdefault(line.organisation, line) is not line:
            return  # served again already, by a keeper that speaks for itself
        del self._lines[line.organisation]
        self._changed[line.organisation] = line
        self._something.set()

    async def run(self) -> None:
        beat = time.monotonic() + settings.RUNTIME_HEARTBEAT
        while True:
            try:
                # Not wait_for(): in Python 3.11 it may lose a cancellation.
                async with asyncio.timeout(max(0.0, beat - time.monotonic())):
                    await self._something.wait()
            except TimeoutError:
                self._changed = {**self._changed, **self._lines}
                beat = time.monotonic() + settings.RUNTIME_HEARTBEAT
            await self.flush()
            await asyncio.sleep(PAUSE)

    async def flush(self) -> None:
        """Writes what changed; what could not be written is kept for the next time."""
        self._something.clear()
        lines, self._changed = self._changed, {}
        if not lines:
            return
        try:
            await self._database.run(partial(_write, list(lines.values())))
        except Exception as error:
            self._changed = {**lines, **self._changed}
            log.warning("status not written", error=type(error).__name__)

    async def start(self) -> None:
        """Nothing is connected yet, whatever a process that was killed said last."""
        await self._database.run(_nothing_connected)


def _write(lines: list[Line]) -> None:
    names = ["organisation", *(name for name, _ in _COLUMNS[1:])]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [[getattr(line, name) for line in lines] for name in names])


def _nothing_connected() -> None:
    RelayStatus.objects.filter(connected=True).update(connected=False, active_channels=0)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
