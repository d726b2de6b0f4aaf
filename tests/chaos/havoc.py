"""Kills processes with SIGKILL at random moments, never one of them five times in a minute.

Every decision comes from one seed, which is printed. The moments themselves depend on the machine,
so that a seed narrows a failure down and does not repeat it exactly. Nothing is killed again before
the product was ready once since: on a busy machine nothing else would be left of a storm.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx

from pulsecloud.supervisor import WITHIN_SECONDS
from tests.product import Product

# The supervisor gives up at the fifth death; one is left for what a death may drag along.
KILLS_A_MINUTE = 3


class Havoc:
    """`kills` lists (seconds since the start, what, pid)."""

    def __init__(self, product: Product, dice: random.Random) -> None:
        self.product = product
        self.dice = dice
        self.begun = time.monotonic()
        self.kills: list[tuple[float, str, int]] = []
        self._times: dict[str, list[float]] = defaultdict(list)
        self._ready_at = self.begun

    def orders(self, rounds: int) -> list[str]:
        """Every target `rounds` times, shuffled."""
        targets = [*TARGETS] * rounds
        self.dice.shuffle(targets)
        return targets

    def strike(self, target: str) -> None:
        """kill -9, as soon as the process runs and its last minute allows it."""
        process, find = TARGETS[target]
        while (pid := find(self.product)) is None or self._too_soon(process):
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        now = time.monotonic()
        self._times[process].append(now)
        self.kills.append((round(now - self.begun, 2), target, pid))

    def _too_soon(self, process: str) -> bool:
        times, now = self._times[process], time.monotonic()
        if not times:
            return False
        if len([t for t in times if t > now - WITHIN_SECONDS - 1]) >= KILLS_A_MINUTE:
            return True
        if self._ready_at < times[-1] and ready(self.product):
            self._ready_at = now
        return self._ready_at < times[-1]


def ready(product: Product) -> bool:
    """Whether web and relay both say so; web asks for PostgreSQL and the worker as well."""
    try:
        return all(
            httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
            for _, port in (product.web, product.relay)
        )
    except httpx.HTTPError:
        return False


def _whole(name: str) -> Callable[[Product], int | None]:
    return lambda product: product.pids().get(name)


def _below(name: str) -> Callable[[Product], int | None]:
    """One of the processes that the named one started, any."""

    def find(product: Product) -> int | None:
        parent = product.pids().get(name)
        found = children(parent) if parent else []
        return random.Random(time.monotonic_ns()).choice(found) if found else None

    return find


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


# What is killed: the process that counts its deaths, and how its pid is found. Of web and
# PostgreSQL the processes below are killed as well, which their parent answers for.
TARGETS: dict[str, tuple[str, Callable[[Product], int | None]]] = {
    "web": ("web", _whole("web")),
    "one of web's processes": ("below web", _below("web")),
    "relay": ("relay", _whole("relay")),
    "worker": ("worker", _whole("worker")),
    "runtime": ("runtime", _whole("runtime")),
    "PostgreSQL": ("postgres", _whole("postgres")),
    "one of PostgreSQL's processes": ("below postgres", _below("postgres")),
}
