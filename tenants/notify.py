"""Tells the relay and the runtime to look again (PostgreSQL NOTIFY).

A notification carries no state: the tables are the truth, and receivers sweep them anyway. It is
sent inside the current transaction and delivered by PostgreSQL when that commits, never before.
"""

from __future__ import annotations

from django.db import connection

RELAY = "pulsecloud_relay"  # payload: an instance id, or empty for "look at everything"
RUNTIME = "pulsecloud_runtime"  # payload: an organisation's UUID, or empty


def notify(channel: str, payload: object = "") -> None:
    """Wakes all listeners of `channel`; `payload` is turned into text (at most 8,000 bytes)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, str(payload)])
