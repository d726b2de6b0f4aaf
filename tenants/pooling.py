"""Finds out whether a transaction pooler stands before the database (F14).

Behind one, each transaction may run on another server connection. What we set on "our" connection,
the search path above all, would then serve somebody else's queries, so nothing may start.
"""

from __future__ import annotations

import secrets
from typing import Final

import psycopg
from django.db import connection

# A pooler hands out the connection that came back last; a few more for one that does not.
PROBES: Final = 3


def shares_connections() -> bool:
    """True when what one client sets is seen by another. Raises psycopg.Error."""
    mark = secrets.token_hex(8)
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as ours:
        ours.execute("SELECT set_config('pulsecloud.mark', %s, false)", [mark])
        return _seen_by_others(parameters, mark, PROBES)


def _seen_by_others(parameters: dict[str, object], mark: str, probes: int) -> bool:
    """Each probe keeps its transaction open, so that the next one gets another connection."""
    if not probes:
        return False
    with psycopg.connect(**parameters) as other:  # type: ignore[arg-type]
        row = other.execute("SELECT current_setting('pulsecloud.mark', true)").fetchone()
        return (row is not None and row[0] == mark) or _seen_by_others(parameters, mark, probes - 1)
