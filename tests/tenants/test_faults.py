"""A fault point kills the process there and then, and only where it is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = (
    "from django.conf import settings; settings.configure(FAULT='{}');"
    "from tenants import faults; faults.point('provision.schema.before_commit'); print('alive')"
)


@pytest.mark.parametrize(
    ("named", "status", "said"),
    [
        ("provision.schema.before_commit", -signal.SIGKILL, ""),
        ("provision.schema.after_commit", 0, "alive"),
        ("provision", 0, "alive"),
        ("", 0, "alive"),
    ],
)
def test_kills_where_it_is_named(named: str, status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(named)],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (status, said), done.stderr


@pytest.mark.parametrize("name", ["PULSECLOUD_FAULT"])
def test_production_refuses_to_start_with_one(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pulsecloud.settings"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PULSECLOUD_ENV": "production",
            "PULSECLOUD_DATA_DIR": str(tmp_path),
            "SECRET_KEY": "x" * 60,
            "PULSECLOUD_ENCRYPTION_KEY": "A" * 43 + "=",
            "PULSE_PUBLIC_URL": "https://cloud.example.com",
            name: "provision.schema.before_commit",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert name in done.stderr
