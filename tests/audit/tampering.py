"""What somebody can do who rules the database: switch the triggers off and rewrite."""

from __future__ import annotations

from typing import Any

import psycopg

from audit import sealing, trail
from audit.actors import Actor
from audit.models import Batch, Event
from tests import databases

TABLES = ("audit_event", "audit_batch", "audit_sealedevent", "audit_keystatement")


def record(count: int = 1, **fields: Any) -> list[Event]:
    return [
        trail.record(action="tested", actor=Actor.system("test"), subject=f"number {n}", **fields)
        for n in range(count)
    ]


def sealed(*counts: int) -> list[Batch]:
    """Batches of so many events each."""
    made = []
    for count in counts or (3, 3, 3):
        record(count)
        made += sealing.seal()
    assert [batch.count for batch in made] == list(counts or (3, 3, 3))
    return made


def forge(database: str, *statements: str, **parameters: Any) -> None:
    """Runs statements as the superuser with all triggers off, and switches them on again."""
    with psycopg.connect(databases.url(database)) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            connection.execute(statement, parameters)
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


def events_of(batch: Batch) -> list[int]:
    from audit.models import SealedEvent

    rows = SealedEvent.objects.filter(batch=batch.number).order_by("position")
    return list(rows.values_list("event", flat=True))
