"""Sends processes of the crowd at a web server and adds up what they saw."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.world import Request
from tests.product import ROOT

SAY_EVERY = 15.0  # seconds between two lines of progress


@dataclass
class Seen:
    """`leaks` counts answers with a foreign marker; the first few stand in `some_leaks`."""

    done: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    with_own_marker: int = 0
    leaks: int = 0
    some_leaks: list[dict[str, Any]] = field(default_factory=list)

    def add(self, told: dict[str, Any]) -> None:
        self.done += told["done"]
        self.statuses.update(told["statuses"])
        self.unexpected.update(told["unexpected"])
        self.with_own_marker += told["with_own_marker"]
        self.leaks += told["leaks"]
        self.some_leaks += told["some_leaks"]

    @property
    def share_of_200(self) -> float:
        return self.statuses["200"] / self.done

    def __str__(self) -> str:
        rate = self.done / self.seconds if self.seconds else 0
        return (
            f"{self.done} requests in {self.seconds:.0f} s ({rate:.0f} a second),"
            f" {self.share_of_200:.1%} of them 200 {dict(self.statuses)},"
            f" own marker in {self.with_own_marker}, LEAKS {self.leaks},"
            f" unexpected {dict(self.unexpected)}"
        )


def send(
    port: int, requests: list[Request], *, count: int, processes: int = 2, threads: int = 6
) -> Seen:
    """About `count` requests, picked at random; ends by itself. Raises AssertionError when a
    process of the crowd fails."""
    spec = json.dumps([request.plain() for request in requests])
    command = [sys.executable, "-m", "tests.isolation.hammer", str(port)]
    begun = time.monotonic()
    crowd = []
    for number in range(processes):
        process = subprocess.Popen(
            [*command, str(-(-count // processes)), str(threads), str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(spec)
        process.stdin.close()
        crowd.append(process)
    total, said = Seen(), begun
    try:
        for process in crowd:
            assert process.stdout is not None
            last: dict[str, Any] = {}
            for line in process.stdout:
                last = json.loads(line)
                if time.monotonic() - said > SAY_EVERY:
                    said = time.monotonic()
                    print(f"{last['done'] * processes} of {count} requests", flush=True)
            assert process.wait(30) == 0, f"a process of the crowd failed: {last}"
            total.add(last)
    finally:
        for process in crowd:
            process.kill()
            process.wait()
    total.seconds = time.monotonic() - begun
    return total
