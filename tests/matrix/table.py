"""Reads the hand-written tables: one row a line, one column a caller.

    GET  /api/organisation   401 403 403 200 200 200 200 403 200 200 403 403
    POST /api/things         401 403 403 403 403 200 200 403 403 403 403 403  {"name": "x"}

`{…}` in an address or a body names something of `tests.matrix.things`. `.` repeats the status to the
left. Text after `#` is a comment. Bodies are JSON; pages get theirs as a form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.matrix.things import BASE, ORGANISATION
from tests.matrix.world import COLUMNS

__all__ = ["BASE", "ORGANISATION", "Row", "parse"]

_STATUSES = re.compile(
    rf"((?:(?:\d\d\d|\.)\s+){{{len(COLUMNS) - 1}}}(?:\d\d\d|\.))(?:\s+(\{{.*))?$"
)


@dataclass(frozen=True)
class Row:
    host: str
    method: str
    address: str
    statuses: tuple[int, ...]
    body: str = ""

    @property
    def pattern(self) -> str:
        """The address with `{}` for every variable part, without a query."""
        return re.sub(r"\{\w+\}", "{}", self.address.partition("?")[0])

    def __str__(self) -> str:
        return f"{self.method} {self.host} {self.address}"


def parse(host: str, text: str) -> list[Row]:
    rows = []
    for line in text.splitlines():
        line = re.sub(r"\s+#.*$|^#.*$", "", line).rstrip()
        if not line:
            continue
        method, _, rest = line.partition(" ")
        address, _, rest = rest.strip().partition(" ")
        found = _STATUSES.fullmatch(rest.strip())
        assert found, f"cannot read: {line}"
        statuses: list[int] = []
        for word in found[1].split():
            statuses.append(statuses[-1] if word == "." else int(word))
        rows.append(Row(host, method, address, tuple(statuses), found[2] or ""))
    return rows
