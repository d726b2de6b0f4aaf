"""PostgreSQL advisory locks by name. They go with the connection, so a killed process holds none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def key(name: str) -> int:
    """A signed 64-bit number for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _ask(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key(name)])
        row = cursor.fetchone()
    return bool(row and row[0])


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Whether nobody else holds `name`; if so it is held until the block ends.

    Outlives transactions inside the block. Reentrant within one connection.
    """
    mine = _ask("pg_try_advisory_lock", name)
    try:
        yield mine
    finally:
        if mine and connection.is_usable():
            _ask("pg_advisory_unlock", name)


def claim(name: str) -> bool:
    """Holds `name` until the surrounding transaction ends, unless somebody else does."""
    return _ask("pg_try_advisory_xact_lock", name)


def wait(name: str) -> None:
    """Waits for `name` and holds it until the surrounding transaction ends."""
    _ask("pg_advisory_xact_lock", name)
