"""PostgreSQL advisory locks by name. They go with the connection, so a killed process holds none."""

from __future__ import annotations

import hashlib

from django.db import connection


def key(name: str) -> int:
    """A signed 64-bit number for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _ask(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key(name)])
        row = cursor.fetchone()
    return bool(row and row[0])


class alone:
    """Whether nobody else holds `name`; if so it is held until the block ends.

    Outlives transactions inside the block. Reentrant within one connection. Not a generator: one
    that is never ended is ended by the garbage collector, in the middle of whatever statement the
    same connection is about to send, and the thread would wait for itself for ever.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._mine = False

    def __enter__(self) -> bool:
        self._mine = _ask("pg_try_advisory_lock", self._name)
        return self._mine

    def __exit__(self, *raised: object) -> None:
        if self._mine and connection.is_usable():
            _ask("pg_advisory_unlock", self._name)


def claim(name: str) -> bool:
    """Holds `name` until the surrounding transaction ends, unless somebody else does."""
    return _ask("pg_try_advisory_xact_lock", name)


def wait(name: str) -> None:
    """Waits for `name` and holds it until the surrounding transaction ends."""
    _ask("pg_advisory_xact_lock", name)
