"""Settings from the environment: typed, and a start that says which one is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsecloud.database import email_settings, from_url
from pulsecloud.env import Environment, SettingError
from tests.product import ROOT


def env(**values: str) -> Environment:
    return Environment(values)


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ("True", False), ("TRUE", False), ("1", False), (" true", False), ("", False)],
)
def test_hosted_mode_takes_exactly_true(value: str, on: bool) -> None:
    assert env(X=value).exactly_true("X", help="") is on


@pytest.mark.parametrize(
    ("value", "seconds"), [("500ms", 0.5), ("2s", 2), ("1.5m", 90), ("24h", 86400), ("7d", 604800)]
)
def test_durations(value: str, seconds: float) -> None:
    assert env(X=value).seconds("X", "1s", help="") == seconds


BAD: list[tuple[str, Callable[[Environment], Any]]] = [
    ("ten", lambda e: e.seconds("X", "1s", help="")),
    ("10", lambda e: e.seconds("X", "1s", help="")),
    ("-1s", lambda e: e.seconds("X", "1s", help="")),
    ("many", lambda e: e.integer("X", 1, help="")),
    ("0", lambda e: e.integer("X", 1, least=1, help="")),
    ("other", lambda e: e.choice("X", "a", ("a", "b"), help="")),
    ("8000", lambda e: e.address("X", "h:1", help="")),
    ("host:0", lambda e: e.address("X", "h:1", help="")),
    ("host:70000", lambda e: e.address("X", "h:1", help="")),
]


@pytest.mark.parametrize(("value", "read"), BAD)
def test_what_cannot_be_read_names_the_variable(
    value: str, read: Callable[[Environment], Any]
) -> None:
    with pytest.raises(SettingError, match=r"^X must "):
        read(env(X=value))


def test_addresses() -> None:
    assert env(X="[::1]:8000").address("X", "h:1", help="") == ("::1", 8000)
    assert env().address("X", "127.0.0.1:8001", help="") == ("127.0.0.1", 8001)


class TestSecrets:
    def test_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("  hush\n")
        assert env(X_FILE=str(tmp_path / "secret")).secret("X", help="") == "hush"

    def test_not_from_two_places(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match="X and X_FILE are both set"):
            env(X="a", X_FILE="/b").secret("X", help="")

    def test_file_that_is_missing_or_empty(self, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match="X_FILE cannot be read"):
            env(X_FILE=str(tmp_path / "none")).secret("X", help="")
        (tmp_path / "empty").touch()
        with pytest.raises(SettingError, match="X_FILE names an empty file"):
            env(X_FILE=str(tmp_path / "empty")).secret("X", help="")


def test_database_url() -> None:
    found = from_url("postgresql://us%40er:pa%2Fss@db.example.com:6432/name?sslmode=require")
    assert found == {
        "NAME": "name",
        "USER": "us@er",
        "PASSWORD": "pa/ss",
        "HOST": "db.example.com",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }
    assert from_url("postgres://u:p@/name?host=/run/pg")["HOST"] == "/run/pg"
    for bad in ("mysql://u@h/n", "postgresql://h", "nonsense"):
        with pytest.raises(SettingError, match="DATABASE_URL must look like"):
            from_url(bad)


def test_email_url() -> None:
    plain = email_settings("smtp://u:p@mail.example.com:587")
    assert plain["EMAIL_USE_TLS"] and not plain["EMAIL_USE_SSL"]
    assert email_settings("smtps://mail.example.com")["EMAIL_PORT"] == 465
    assert not email_settings("smtp://localhost:25?tls=off")["EMAIL_USE_TLS"]
    with pytest.raises(SettingError, match="EMAIL_URL must look like"):
        email_settings("mail.example.com")


def test_start_stops_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PULSECLOUD_DATA_DIR": str(tmp_path),
            "PULSE_RELAY_MAX_CHANNELS": "lots",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "PulseCloud cannot start: PULSE_RELAY_MAX_CHANNELS must be a whole number, not 'lots'."
    )
