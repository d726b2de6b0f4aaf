"""`manage.py relay --standalone`: what it says when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import LEASE_KEY, LICENCE_KEY


def failed(relay: Relay) -> str:
    """What the process said before it ended by itself."""
    process = relay.launch()
    assert process.wait(20) != 0
    return relay.log()


@pytest.mark.covers("F79")
def test_without_any_key_it_says_which_are_missing(new_relay: NewRelay) -> None:
    relay = new_relay(start=False, PULSE_RELAY_PUBLIC_KEY="", PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY="")
    said = failed(relay)
    assert "PULSE_RELAY_PUBLIC_KEY" in said
    assert "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY" in said


@pytest.mark.parametrize(
    "present", ["PULSE_RELAY_PUBLIC_KEY", "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"]
)
def test_either_key_is_enough(new_relay: NewRelay, present: str) -> None:
    keys = {"PULSE_RELAY_PUBLIC_KEY": "", "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY": ""}
    relay = new_relay(**{**keys, present: f" {LICENCE_KEY.rstrip('=')} ,\n{LEASE_KEY}"})
    assert relay.get("/readyz").status_code == 200


def test_a_key_that_is_none_is_named(new_relay: NewRelay) -> None:
    for bad in ("hello", LICENCE_KEY[:-6], "!" * 44):
        said = failed(new_relay(start=False, PULSE_RELAY_PUBLIC_KEY=bad))
        assert "PULSE_RELAY_PUBLIC_KEY" in said
        assert "base64" in said


def test_a_taken_port_names_its_variable(relay: Relay, new_relay: NewRelay) -> None:
    second = new_relay(start=False)
    second.port = relay.port
    said = failed(second)
    assert "PULSE_RELAY_ADDR" in said
    assert str(relay.port) in said


@pytest.mark.covers("R87")
def test_a_data_directory_that_is_a_file_fails_at_the_start(
    new_relay: NewRelay, tmp_path: Path
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    for where in (occupied, occupied / "below"):
        said = failed(new_relay(start=False, PULSE_RELAY_DATA_DIR=str(where)))
        assert "PULSE_RELAY_DATA_DIR" in said
        assert str(where) in said


@pytest.mark.covers("R87")
def test_an_unwritable_data_directory_fails_at_the_start(new_relay: NewRelay) -> None:
    """In /proc nobody may make a file, not even root."""
    for where in ("/proc/relay", "/proc"):
        said = failed(new_relay(start=False, PULSE_RELAY_DATA_DIR=where))
        assert f"PULSE_RELAY_DATA_DIR {where} cannot be written" in said


def test_a_broken_database_file_fails_at_the_start(new_relay: NewRelay) -> None:
    relay = new_relay(start=False)
    relay.data_dir.mkdir()
    (relay.data_dir / "relay.sqlite3").write_bytes(b"this is not a database" * 100)
    said = failed(relay)
    assert "PULSE_RELAY_DATA_DIR" in said


def test_it_loads_nothing_of_the_full_product(relay: Relay) -> None:
    maps = Path(f"/proc/{relay.pid}/maps").read_text()
    assert "psycopg" not in maps  # no PostgreSQL driver
    assert relay.memory() < 120 * 1024 * 1024


@pytest.mark.covers("R25")
def test_killed_and_started_at_once_on_the_same_port(new_relay: NewRelay) -> None:
    relay = new_relay()
    for _ in range(3):
        relay.kill()
        relay.start()
    assert relay.stop()[0] == 0
