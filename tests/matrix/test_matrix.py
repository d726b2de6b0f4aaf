"""The permission matrix: every address and method, asked by everybody; no address is missing."""

from __future__ import annotations

import pytest

from tests.matrix import accounts, base_domain, organisation_api, organisation_pages
from tests.matrix.addresses import addresses
from tests.matrix.table import Row
from tests.matrix.world import World, make

TABLES: dict[str, dict[str, list[Row]]] = {
    "organisation-api": organisation_api.SECTIONS,
    "organisation-pages": organisation_pages.SECTIONS,
    "base-domain": base_domain.SECTIONS,
    "accounts": accounts.SECTIONS,
}
ROWS = [row for table in TABLES.values() for rows in table.values() for row in rows]


def differences(world: World, rows: list[Row]) -> list[str]:
    """What is answered otherwise than the table says."""
    found = []
    for row in rows:
        answers = world.ask(row.host, row.method, row.address, row.body)
        for (column, answer), expected in zip(answers, row.statuses, strict=True):
            if answer.status_code != expected:
                text = "" if answer.streaming else answer.content[:160]
                found.append(f"{row}: {column} {expected}, is {answer.status_code} {text!r}")
    return found


@pytest.mark.django_db
@pytest.mark.covers("F12")
@pytest.mark.parametrize("table", TABLES)
def test_everybody_is_answered_as_the_table_says(table: str) -> None:
    rows = [row for section in TABLES[table].values() for row in section]
    assert not (found := differences(make(), rows)), "\n" + "\n".join(found)


def test_no_address_is_missing() -> None:
    have = {(row.host, row.method, row.pattern) for row in ROWS}
    missing = sorted(addresses() - have)
    assert not missing, "no row for:\n" + "\n".join(map(" ".join, missing))


def test_no_row_is_stale() -> None:
    known = addresses()
    stale = [str(row) for row in ROWS if (row.host, row.method, row.pattern) not in known]
    assert not stale, "no such address:\n" + "\n".join(stale)


@pytest.mark.django_db
def test_the_matrix_bites() -> None:
    """A wrong status is named with its row and column."""
    row = next(r for r in ROWS if r.address == "/api/organisation")
    wrong = Row(row.host, row.method, row.address, (200, *row.statuses[1:]))
    assert differences(make(), [row]) == []
    (found,) = differences(make(), [wrong])
    assert found.startswith("GET organisation /api/organisation: anonymous 200, is 401")
