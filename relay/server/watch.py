"""Notices what other processes changed in the database: blocked instances.

The tables are the truth. PostgreSQL's NOTIFY only says "look again", so a lost one costs a sweep
interval at most, and every (re)connect begins with a sweep. On SQLite there are only sweeps.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.db import connections

from relay.server.sessions import well_formed
from relay.server.station import Station

log = logging.getLogger(__name__)

CHANNEL = "pulsecloud_relay"  # payload: an instance id, or empty for "look at everything"
_BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to reach the database


async def watch(station: Station) -> None:
    """Runs until it is cancelled."""
    turn = _listen if connections["default"].vendor == "postgresql" else _sweep_now_and_then
    failures = 0
    while True:
        try:
            async for _ in turn(station):
                failures = 0
        except Exception as error:
            if failures == 0:
                log.warning("not notified of changes", extra={"why": type(error).__name__})
            await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            failures += 1


async def _sweep_now_and_then(station: Station) -> Any:
    while True:
        await station.sweep()
        yield
        await asyncio.sleep(station.limits.sweep)


async def _listen(station: Station) -> Any:
    import psycopg  # the relay on its own SQLite does without it

    async with await psycopg.AsyncConnection.connect(**_address(), autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        log.info("notified of changes")
        while True:
            await station.sweep()
            yield
            async for notice in connection.notifies(timeout=station.limits.sweep):
                if not notice.payload:
                    await station.look()
                elif well_formed(notice.payload):
                    await station.look(notice.payload)


def _address() -> dict[str, Any]:
    """How to reach Django's database with psycopg itself."""
    settings = connections["default"].settings_dict
    names = {
        "NAME": "dbname",
        "USER": "user",
        "PASSWORD": "password",
        "HOST": "host",
        "PORT": "port",
    }
    address = {ours: settings[name] for name, ours in names.items() if settings.get(name)}
    drivers_own = ("pool", "assume_role", "isolation_level", "server_side_binding")
    options = {k: v for k, v in settings.get("OPTIONS", {}).items() if k not in drivers_own}
    # A dead network must show: without these a silent server is believed for hours.
    return {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **options,
        **address,
    }
