"""manage.py hosted_routes --check, against real servers with hosted mode on and off."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulsecloud.processes import die_with_parent
from tenants.models import Invitation, Organisation, User
from tests import databases
from tests.product import ROOT, Product, free_port
from tests.waiting import until


@contextmanager
def web(product: Product, mode: str) -> Iterator[dict[str, str]]:
    """One more web server of a product, with another mode; yields the environment for commands."""
    port, data_dir = free_port(), Path(tempfile.mkdtemp(prefix="pulsecloud-gate-"))
    for shared in ("static", "keys"):
        (data_dir / shared).symlink_to(product.data_dir / shared)
    environment = product.environment | {
        "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
        "PULSECLOUD_DATA_DIR": str(data_dir),
        "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{port}",
        "PULSE_HOSTED_MODE": mode,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf",
         "pulsecloud.wsgi:application"],
        cwd=ROOT, env=environment, preexec_fn=die_with_parent(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 60, every=0.2, what="web answers")
        yield environment
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(data_dir, ignore_errors=True)


def check(environment: dict[str, str], mode: str, *more: str) -> Any:
    return subprocess.run(
        [sys.executable, "manage.py", "hosted_routes", "--check", mode, *more],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def made() -> tuple[int, int, int]:
    return (
        Organisation.objects.count(),
        User.objects.filter(email__endswith="@gate-check.invalid").count(),
        Invitation.objects.filter(email__endswith="@gate-check.invalid").count(),
    )


@pytest.mark.covers("F76")
@pytest.mark.parametrize("mode", ["true", "TRUE"])
def test_tells_an_open_gate_from_a_shut_one(product: Product, mode: str) -> None:
    """And leaves nothing behind, and uses nobody's limit of sign-ups up."""
    before = made()
    right, wrong = ("on", "off") if mode == "true" else ("off", "on")
    with web(product, mode) as environment:
        done = check(environment, right)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith(f"All 11 routes answer as with hosted mode {right}\n")
        done = check(environment, wrong, "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        held = {row["number"]: row["holds"] for row in json.loads(done.stdout)}
        # Routes that are not built are 404 in both modes.
        assert [number for number, holds in held.items() if holds] == [2, 3, 10, 11]
    assert made() == before


def test_without_a_server_it_says_so(live_db: None, database_name: str) -> None:
    environment = databases.environment(database_name) | {
        "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
        "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{free_port()}",
    }
    begun = time.monotonic()
    done = check(environment, "on")
    assert done.returncode == 2
    assert "no web server answers" in done.stderr
    assert time.monotonic() - begun < 60
    assert made()[1:] == (0, 0)
