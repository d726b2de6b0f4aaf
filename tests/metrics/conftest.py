"""Processes that count, and a directory of their own to count in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import databases

ROOT = Path(__file__).resolve().parents[2]


class Counting:
    """One process that counts on request."""

    def __init__(self, data_dir: Path, database: str) -> None:
        environment = databases.environment(database) | {"PULSECLOUD_DATA_DIR": str(data_dir)}
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.metrics.counting"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.answer() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self) -> str:
        assert self.process.stdout is not None
        return str(self.process.stdout.readline()).strip()

    def say(self, line: str, times: int = 1) -> None:
        assert self.process.stdin is not None
        for _ in range(times):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            assert self.answer() == "ok"

    def kill(self) -> None:
        """kill -9, and wait until the process is gone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def metrics_dir(tmp_path: Path, settings: Any) -> Path:
    settings.METRICS_DIR = tmp_path / "metrics"
    return tmp_path / "metrics"


@pytest.fixture
def counting(
    metrics_dir: Path, tmp_path: Path, database_name: str
) -> Iterator[Callable[[], Counting]]:
    started: list[Counting] = []

    def start() -> Counting:
        started.append(Counting(tmp_path, database_name))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()
