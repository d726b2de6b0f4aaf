"""The five objectives of the service, and how much of each error budget is left (docs/runbook.md).

Here they are worked out from the samples of the staff home, coarsely and without Prometheus; the
alerts under ops/prometheus use the same definitions: staff pages and times with hosted mode off are
left out, and of `connected` each moment counts the same, however many organisations there were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pulsecloud.samples import Point

_Values = Mapping[str, float]


@dataclass(frozen=True)
class Objective:
    """`good` of `total` shall be `target` or more over `days`; both are read from one stretch."""

    name: str
    words: str
    target: float
    days: int
    bad: Callable[[_Values], float]
    total: Callable[[_Values], float]


@dataclass(frozen=True)
class Budget:
    """`share` is what was good (None: nothing happened yet), `left` of the budget in percent:
    100 untouched, 0 used up, below when it is overdrawn."""

    objective: Objective
    share: float | None
    left: int | None


def _counter(bad: str, total: str) -> tuple[Callable[[_Values], float], Callable[[_Values], float]]:
    return (lambda v: v.get(bad, 0.0)), (lambda v: v.get(total, 0.0))


def _disconnected(values: _Values) -> float:
    """The share of the built-in runtime's organisations that were not connected."""
    served = values.get("builtin", 0.0)
    return max(0.0, 1 - values.get("connected", 0.0) / served) if served else 0.0


OBJECTIVES: Final = (
    Objective(
        "availability", "Requests answered without a 5xx", 0.999, 30,
        *_counter("errors", "requests"),
    ),
    Objective(
        "provisioning", "Attempts at setting up that worked", 0.99, 7,
        *_counter("failures", "provisions"),
    ),
    Objective(
        "provisioning_speed", "Set up within 60 s of the proved mailbox", 0.95, 30,
        *_counter("set_up_slowly", "set_up"),
    ),
    Objective(
        "lifecycle_speed", "Life-cycle actions within a second", 0.95, 30,
        *_counter("verbs_slowly", "verbs"),
    ),
    Objective(
        "connected", "Active organisations connected to the relay", 0.99, 30,
        _disconnected,
        lambda v: float(v.get("builtin", 0.0) > 0),
    ),
)  # fmt: skip


def budgets(points: Sequence[Point]) -> list[Budget]:
    """What is left of each, from samples of the last 30 days (oldest first)."""
    return [_budget(objective, points) for objective in OBJECTIVES]


def _budget(objective: Objective, points: Sequence[Point]) -> Budget:
    if points:
        since = points[-1].at - timedelta(days=objective.days)
        points = [point for point in points if point.at > since]
    total = sum(objective.total(point.values) for point in points)
    if total <= 0:
        return Budget(objective, None, None)
    bad = sum(objective.bad(point.values) for point in points) / total
    left = 1 - bad / (1 - objective.target)
    return Budget(objective, 1 - bad, max(-999, round(100 * left)))
