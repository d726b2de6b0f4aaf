"""Fixtures of all tests: a real PostgreSQL, a database per worker, and what cannot run here.

`db` (pytest-django's) rolls back, in a database that nobody ever commits to. `live_db` commits, so that other processes see it, and cleans
nothing up: use labels and addresses of your own. Nothing ever flushes: TRUNCATE would empty the
tables that the migrations filled, and the audit trail refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from tests import databases, postgres_keeper
from tests.settings import CACHE

pytest_plugins = ["tests.plugin_covers", "tests.plugin_not_run", "tests.product"]


@pytest.fixture(scope="session")
def database_name(worker_id: str) -> Iterator[str]:
    """The name of this worker's own database; see `databases.environment` for other processes."""
    postgres_keeper.use(CACHE)
    name = databases.create(worker_id)
    yield name
    connections.close_all()
    databases.drop(name)


@pytest.fixture(scope="session")
def django_db_setup(database_name: str) -> None:
    """Replaces pytest-django's: points Django at this worker's database."""
    connection = connections["default"]
    connection.close()
    connections.settings["default"]["NAME"] = database_name
    connection.settings_dict["NAME"] = database_name


@pytest.fixture(scope="session")
def clean_database_name(worker_id: str, database_name: str) -> Iterator[str]:
    """A database of this worker's in which nothing is ever committed."""
    name = databases.create(f"{worker_id}_clean")
    yield name
    connections.close_all()
    databases.drop(name)


@pytest.fixture
def _clean_database(
    request: pytest.FixtureRequest, django_db_setup: None, clean_database_name: str
) -> Iterator[None]:
    """Points Django at it, unless the test works on committed rows."""
    if {"live_db", "live_db_session"} & set(request.fixturenames):
        yield
        return
    with databases.looking_into(clean_database_name):
        yield


@pytest.fixture
def _django_db_helper(_clean_database: None, _django_db_helper: None) -> None:
    """pytest-django's, behind the switch to the clean database."""


@pytest.fixture
def live_db(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """Commits are real and stay. Never rolled back, never flushed."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield
        connections.close_all()


@pytest.fixture(scope="session")
def live_db_session(
    django_db_setup: None, django_db_blocker: pytest.FixtureRequest
) -> Iterator[None]:
    """The same for fixtures that last the whole session."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("django_db")
        if (marker and marker.kwargs.get("transaction")) or {
            "transactional_db",
            "live_server",
            "django_db_reset_sequences",
        } & set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid} would flush the database: use live_db.")
