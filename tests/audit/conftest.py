"""A database of its own for each test that tampers with the trail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from tests import databases
from tests.factories import unique


@pytest.fixture
def scratch(live_db: None, worker_id: str) -> Iterator[str]:
    """Its name; Django works in it meanwhile. Commits are real, and go with it."""
    name = databases.create(f"{worker_id}_{unique('trail')}".replace("-", "_"))
    try:
        with databases.looking_into(name):
            yield name
    finally:
        connections.close_all()
        databases.drop(name)
