"""Relays for tests, each a real process.

`relay` is alone, on SQLite, and shared by all tests of a run: use licences of your own in it.
`on_either` is shared as well and runs the test twice: on SQLite alone, and as the relay process of
the full product on PostgreSQL. `new_relay(**settings)` and `new_on_either(**settings)` start one more
of the test's own, with other settings or to be ill-treated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.relay_server.process import NewRelay, Relay

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(tmp_path_factory.mktemp("relay")).start()
    yield relay
    relay.end()


@pytest.fixture(scope="session")
def _full(
    tmp_path_factory: pytest.TempPathFactory, database_name: str, live_db_session: None
) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("relay")
    relay = Relay(folder, _beside(database_name), standalone=False).start()
    yield relay
    relay.end()


@pytest.fixture
def relay(_alone: Relay) -> Relay:
    return _running(_alone)


@pytest.fixture
def full_relay(live_db: None, _full: Relay) -> Relay:
    return _running(_full)


@pytest.fixture(params=BACKENDS)
def on_either(request: pytest.FixtureRequest) -> Relay:
    shared: Relay = request.getfixturevalue("relay" if request.param == "sqlite" else "full_relay")
    return shared


@pytest.fixture
def new_relay(tmp_path: Path) -> Iterator[NewRelay]:
    """new_relay(start=True, **settings); settings as in the environment."""
    made: list[Relay] = []

    def make(*, start: bool = True, **settings: str) -> Relay:
        folder = tmp_path / f"relay{len(made)}"
        folder.mkdir()
        made.append(Relay(folder, settings))
        return made[-1].start() if start else made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def new_full_relay(new_relay: NewRelay, live_db: None, database_name: str) -> NewRelay:
    def make(*, start: bool = True, **settings: str) -> Relay:
        relay = new_relay(start=False, **{**_beside(database_name), **settings})
        relay.standalone = False
        return relay.start() if start else relay

    return make


@pytest.fixture(params=BACKENDS)
def new_on_either(request: pytest.FixtureRequest) -> NewRelay:
    make: NewRelay = request.getfixturevalue(
        "new_relay" if request.param == "sqlite" else "new_full_relay"
    )
    return make


def _beside(database_name: str) -> dict[str, str]:
    """What the full product's relay needs to use this run's PostgreSQL."""
    environment = databases.environment(database_name)
    names = ("DATABASE_URL", "PULSECLOUD_DATA_DIR", "PULSE_HOSTED_MODE")
    return {name: environment[name] for name in names}


def _running(relay: Relay) -> Relay:
    assert relay.process is not None and relay.process.poll() is None, relay.log()[-4000:]
    return relay
