"""What the runtime counts, in the directory that web, worker and runtime share.

Labels take values from the short lists below and never name an organisation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.conf import settings

# prometheus_client opens its file in this directory as soon as a counter is made.
Path(settings.METRICS_DIR).mkdir(parents=True, exist_ok=True)

from prometheus_client import CollectorRegistry, Counter  # noqa: E402

from relay.wire.frames import ErrorCode  # noqa: E402

CODES: Final = frozenset(ErrorCode)

# A registry of its own: library defaults (process_*, python_info) are wrong across processes.
registry = CollectorRegistry()
_connects = Counter(
    "pulsecloud_runtime_connects_total",
    "Attempts to register at the relay, by what came of them.",
    ["outcome"],
    registry=registry,
)
_refusals = Counter(
    "pulsecloud_runtime_refusals_total",
    "Registrations that the relay refused, by its code.",
    ["code"],
    registry=registry,
)
_channels = Counter(
    "pulsecloud_runtime_channels_total",
    "Channels that phones asked for, by what the token check said.",
    ["outcome"],
    registry=registry,
)
_calls = Counter(
    "pulsecloud_runtime_calls_total",
    "Requests of phones, by the class of the answer's status.",
    ["status"],
    registry=registry,
)

# Present from the first scrape, so that a rate over them is 0 instead of absent.
for _outcome in ("accepted", "refused", "unreachable"):
    _connects.labels(outcome=_outcome)
for _outcome in ("opened", "refused", "unanswered"):
    _channels.labels(outcome=_outcome)


def connected() -> None:
    _connects.labels(outcome="accepted").inc()


def refused(code: str) -> None:
    _connects.labels(outcome="refused").inc()
    _refusals.labels(code=code if code in CODES else "other").inc()


def unreachable() -> None:
    _connects.labels(outcome="unreachable").inc()


def channel(outcome: str) -> None:
    """`outcome` is opened, refused or unanswered."""
    _channels.labels(outcome=outcome).inc()


def call(status: int) -> None:
    _calls.labels(status=f"{status // 100}xx").inc()
