"""A database of the test's own: upgrading all organisations must not meet other tests' ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tenants.upgrades import versions
from tests import databases
from tests.factories import unique
from tests.upgrades.release import NextRelease


@pytest.fixture
def own_db(live_db: None) -> Iterator[str]:
    """Its name; empty but for what migrations put there, and dropped afterwards."""
    name = databases.create(unique("upgrade").replace("-", "_"))
    try:
        with databases.looking_into(name):
            yield name
    finally:
        connections.close_all()
        databases.drop(name)


@pytest.fixture
def next_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[NextRelease]:
    yield NextRelease(tmp_path, monkeypatch, settings)
    versions.release.cache_clear()
