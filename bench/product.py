"""Starts the whole product for a measurement, in a directory and on ports of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def running_product(place: Path, seconds: float = 90.0) -> Iterator[None]:
    """`manage.py up` with its own data; this process's environment is set to reach it as well."""
    place.chmod(0o755)  # PostgreSQL drops root and must be able to reach its cluster
    web, relay = free_port(), free_port()
    os.environ.update(
        DJANGO_SETTINGS_MODULE="pulsecloud.settings",
        PULSE_HOSTED_MODE="true",
        PULSECLOUD_DATA_DIR=str(place / "var"),
        PULSECLOUD_WEB_ADDR=f"127.0.0.1:{web}",
        PULSE_RELAY_ADDR=f"127.0.0.1:{relay}",
    )
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    with (place / "up.log").open("wb") as log:
        product = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + seconds
            addresses = [f"http://127.0.0.1:{port}/readyz" for port in (web, relay)]
            while not all(reachable(address) for address in addresses):
                if product.poll() is not None or time.monotonic() > deadline:
                    text = (place / "up.log").read_text(errors="replace")[-2000:]
                    raise SystemExit(f"the product did not become ready:\n{text}")
                time.sleep(0.2)
            yield
        finally:
            product.send_signal(signal.SIGINT)
            try:
                product.wait(30)
            except subprocess.TimeoutExpired:
                product.kill()
