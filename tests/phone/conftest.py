"""One real relay for all tests of the phone: `manage.py relay --standalone` as a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.relay_server.process import Relay


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(tmp_path_factory.mktemp("relay"), {"PULSE_RELAY_ECHO_TIMEOUT": "5s"}).start()
    yield relay
    relay.end()
