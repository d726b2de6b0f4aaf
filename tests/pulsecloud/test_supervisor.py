"""`manage.py up` keeps the product running: what dies comes back, and nothing outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pulsecloud.processes import alive
from tests.product import ROOT, Product, free_port, running_product
from tests.waiting import until

NAMES = {"web", "relay", "worker", "runtime", "postgres", "up"}


@pytest.fixture(scope="module")
def up() -> Iterator[Product]:
    """One product for this file, with a PostgreSQL of its own, to be ill-treated."""
    with running_product() as product:
        yield product


def ready(product: Product) -> bool:
    try:
        return all(
            httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
            for _, port in (product.web, product.relay)
        )
    except httpx.HTTPError:
        return False


def descendants(pid: int) -> set[int]:
    """Every process below this one, now."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found - {pid}
        found |= more


def test_everything_runs_and_is_ready(up: Product) -> None:
    assert set(up.pids()) == NAMES
    assert ready(up)


@pytest.mark.parametrize("name", ["web", "relay", "worker", "runtime"])
def test_killed_process_comes_back(up: Product, name: str) -> None:
    others = {other: pid for other, pid in up.pids().items() if other != name}
    old = up.kill(name)
    until(lambda: up.pids().get(name, old) != old, 20, what=f"{name} runs again")
    until(lambda: ready(up), 40, every=0.2, what="ready again")
    assert {o: pid for o, pid in up.pids().items() if o != name} == others, "only it was restarted"


def test_killed_postgres_comes_back_and_nobody_else_dies(up: Product) -> None:
    others = {name: pid for name, pid in up.pids().items() if name != "postgres"}
    old = up.kill("postgres")
    until(lambda: up.pids().get("postgres", old) != old, 20, what="PostgreSQL runs again")
    until(lambda: ready(up), 60, every=0.2, what="ready again")
    assert {n: pid for n, pid in up.pids().items() if n != "postgres"} == others


def test_one_supervisor_per_data_directory(up: Product) -> None:
    second = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**up.environment, "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{free_port()}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"already runs on {up.data_dir} (process {up.pids()['up']})" in second.stderr
    assert "PULSECLOUD_DATA_DIR" in second.stderr
    assert ready(up)


@pytest.mark.parametrize("variable", ["PULSECLOUD_WEB_ADDR", "PULSE_RELAY_ADDR"])
def test_taken_port_names_its_variable_before_anything_starts(
    tmp_path: Path, variable: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        free = {
            name: f"127.0.0.1:{free_port()}" for name in ("PULSECLOUD_WEB_ADDR", "PULSE_RELAY_ADDR")
        }
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
            "PULSECLOUD_DATA_DIR": str(tmp_path / "var"),
            **free,
            variable: f"127.0.0.1:{port}",
        }
        refused = subprocess.run(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert refused.returncode == 1
    assert f"127.0.0.1:{port} is taken" in refused.stderr and variable in refused.stderr
    assert not (tmp_path / "var" / "postgres").exists()


def test_killed_supervisor_takes_everything_along(up: Product) -> None:
    """Last but one: then a new supervisor finds everything as it was."""
    below = descendants(up.pids()["up"])
    assert len(below) >= 6
    up.process.kill()
    up.process.wait()
    until(lambda: not [pid for pid in below if alive(pid)], 20, what="every process ended")
    output = up.data_dir / "again.out"
    with output.open("wb") as sink:
        again = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--logs", "files"],
            cwd=ROOT,
            env=up.environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        until(lambda: "Ready after" in output.read_text(), 60, every=0.1)
        migrations = next(line for line in output.read_text().splitlines() if "migrations" in line)
        assert "nothing to do" in migrations
        begun = time.monotonic()
        again.send_signal(signal.SIGINT)
        assert again.wait(40) == 0
        print(f"stopped in {time.monotonic() - begun:.1f} s")
        assert output.read_text().rstrip().endswith("Stopped")
        assert up.pids() == {}
    finally:
        if again.poll() is None:
            again.kill()
            again.wait()
