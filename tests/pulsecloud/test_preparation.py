"""What is made sure before the processes start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pulsecloud import preparation
from pulsecloud.preparation import CannotStart
from tests.product import ROOT


def test_database_that_does_not_answer(tmp_path: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "from pulsecloud import preparation\n"
        "try: preparation.database_answers(seconds=0.2)\n"
        "except preparation.CannotStart as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
            "PULSECLOUD_DATA_DIR": str(tmp_path),
            "DATABASE_URL": "postgresql://somebody:hush-hush-hush@127.0.0.1:1/name",
        },
        capture_output=True,
        text=True,
    )
    assert "The server of DATABASE_URL does not answer" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_address_that_is_not_ours() -> None:
    with pytest.raises(CannotStart, match=r"PULSE_RELAY_ADDR=192\.0\.2\.1:8001 cannot be used"):
        preparation.check_port("PULSE_RELAY_ADDR", ("192.0.2.1", 8001))
    with pytest.raises(CannotStart, match="PULSECLOUD_WEB_ADDR=no such host:80 cannot be used"):
        preparation.check_port("PULSECLOUD_WEB_ADDR", ("no such host", 80))


def test_lock_is_free_again_after_its_holder(tmp_path: Path) -> None:
    held = preparation.lock(tmp_path)
    with pytest.raises(CannotStart, match=f"process {os.getpid()}"):
        preparation.lock(tmp_path)
    held.close()
    preparation.lock(tmp_path).close()


def test_waits_for_processes_of_a_killed_supervisor(tmp_path: Path) -> None:
    leftover = subprocess.Popen(["sleep", "0.5"])
    state = tmp_path / "up.json"
    state.write_text(json.dumps({"web": leftover.pid, "up": os.getpid()}))
    begun = time.monotonic()
    preparation.wait_for_leftovers(state)
    assert leftover.poll() is None or time.monotonic() - begun >= 0.3
    leftover.wait()
    for text in ("", "[]", '{"web": "x"}'):
        state.write_text(text)
        preparation.wait_for_leftovers(state)


def test_static_files_are_collected_once(tmp_path: Path, settings: Any) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    assert preparation.collect_static() == "collected"
    assert (tmp_path / "static" / "admin").is_dir()
    assert preparation.collect_static() == "nothing to do"
    (tmp_path / "static" / ".collected").write_text("of an older version")
    assert preparation.collect_static() == "collected"


def test_metrics_of_dead_processes_are_forgotten(tmp_path: Path, settings: Any) -> None:
    settings.METRICS_DIR = tmp_path / "metrics"
    preparation.empty_metrics()
    (tmp_path / "metrics" / "counter_4711.db").write_bytes(b"x")
    preparation.empty_metrics()
    assert not list((tmp_path / "metrics").iterdir())
