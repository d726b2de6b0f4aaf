"""The platform's figures over time: one sample every five minutes, for charts of the staff home.

Prometheus is where history belongs; but a beta run by one person should show its last 24 hours
before anybody has installed one. A sample holds gauges as they were, and counters as they stood;
how much a counter moved is worked out when it is read, so that a restart costs one interval and
not a spike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

import tenants.metrics  # noqa: F401  makes its counters known
from pulsecloud import figures, metric_files
from tenants.models import Sample, State

EVERY: Final = timedelta(minutes=5)
KEPT: Final = timedelta(days=31)  # the longest chart shows 30
GAUGES: Final = ("active", "builtin", "connected", "phones", "job_wait", "jobs_failed")
COUNTERS: Final = (
    "requests",  # answers of `web` to customers: staff pages left out, as in ops/prometheus
    "errors",  # of them 5xx
    "provisions",  # attempts at setting up an organisation
    "failures",  # of them failed
    "set_up",  # organisations that became active
    "set_up_slowly",  # of them after more than 60 s
    "verbs",  # life-cycle verbs
    "verbs_slowly",  # of them longer than a second
)
_HTTP: Final = "pulse_hosted_http_request_seconds"
_SET_UP: Final = "pulse_hosted_provisioning_seconds"
_VERBS: Final = "pulse_hosted_lifecycle_seconds"


@dataclass(frozen=True)
class Point:
    """What the samples of one stretch of time say: each gauge's mean, each counter's move.

    A stretch without samples has no point. The counters moved in `seconds`, which is longer than
    the stretch after a gap."""

    at: datetime
    values: Mapping[str, float]
    seconds: float


def take(now: datetime | None = None) -> bool:
    """Writes the sample of this five-minute slot; False when it is there already. Raises
    DatabaseError."""
    slot = _slot(now or timezone.now())
    if Sample.objects.filter(at=slot).exists():
        return False
    read = figures.read()
    gauges = {
        "active": read.organisations[State.ACTIVE],
        # While hosted mode is off nobody is promised a connection.
        "builtin": read.builtin if settings.HOSTED_MODE else 0,
        "connected": read.connected if settings.HOSTED_MODE else 0,
        "phones": read.phones,
        "job_wait": round(read.job_wait, 1),
        "jobs_failed": read.jobs["failed"],
    }
    values = gauges | counted(_families())
    made = Sample.objects.bulk_create(
        [Sample(at=slot, figures=values)], ignore_conflicts=True, unique_fields=None
    )
    return bool(made)


def prune(now: datetime | None = None) -> int:
    """Deletes what no chart shows any more; returns how many."""
    gone, _ = Sample.objects.filter(at__lt=(now or timezone.now()) - KEPT).delete()
    return gone


def latest() -> dict[str, float]:
    """The figures of the newest sample; empty before the first."""
    found = Sample.objects.order_by("-at").values_list("figures", flat=True).first()
    return {name: float(value) for name, value in (found or {}).items()}


def series(since: datetime, step: timedelta) -> list[Point]:
    """The samples since then in stretches of `step`, oldest first, in one query."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"since": since, "step": step}
        cursor.execute(_SERIES, parameters)
        rows = cursor.fetchall()
    names = (*GAUGES, *COUNTERS)
    return [
        Point(
            at,
            {name: float(v) for name, v in zip(names, row, strict=True) if v is not None},
            float(seconds or 0),
        )
        for at, seconds, *row in rows
    ]


def counted(families: Iterable[Metric]) -> dict[str, float]:
    """COUNTERS out of what the processes counted."""
    found = dict.fromkeys(COUNTERS, 0.0)
    for family in families:
        for each in family.samples:
            name, labels, value = each.name, each.labels, each.value
            if name == f"{_HTTP}_count" and labels.get("area") != "admin":
                found["requests"] += value
                found["errors"] += value if labels.get("code") == "5xx" else 0
            elif name == "pulse_hosted_provisions_total":
                found["provisions"] += value
                found["failures"] += value if labels.get("status") == "failure" else 0
            elif name == f"{_SET_UP}_count":
                found["set_up"] += value
                found["set_up_slowly"] += value
            elif name == f"{_VERBS}_count":
                found["verbs"] += value
                found["verbs_slowly"] += value
            elif name == f"{_SET_UP}_bucket" and _is_bound(labels, 60):
                found["set_up_slowly"] -= value
            elif name == f"{_VERBS}_bucket" and _is_bound(labels, 1):
                found["verbs_slowly"] -= value
    return found


def _is_bound(labels: Mapping[str, str], seconds: float) -> bool:
    return math.isclose(float(labels.get("le", "nan")), seconds)


def _families() -> list[Metric]:
    with metric_files.reading(Path(settings.METRICS_DIR)) as files:
        names = [str(file) for file in files]
        return list(MultiProcessCollector.merge(names))  # type: ignore[no-untyped-call]


def _slot(moment: datetime) -> datetime:
    seconds = int(EVERY.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, moment.tzinfo)


def _sql() -> str:
    """A counter that is less than it was began anew: all that it shows was counted since."""
    read = ", ".join(f"(figures->>'{n}')::float8 AS {n}" for n in (*GAUGES, *COUNTERS))
    moved = ", ".join(
        f"CASE WHEN {n} >= lag({n}) OVER w THEN {n} - lag({n}) OVER w"
        f" WHEN lag({n}) OVER w IS NOT NULL THEN {n} END AS {n}_moved"
        for n in COUNTERS
    )
    said = ", ".join([f"avg({n})" for n in GAUGES] + [f"sum({n}_moved)" for n in COUNTERS])
    return f"""
        WITH raw AS (SELECT at, {read} FROM tenants_sample WHERE at >= %(since)s - %(step)s),
             each AS (SELECT at, extract(epoch FROM at - lag(at) OVER w) AS seconds,
                             {", ".join(GAUGES)}, {moved}
                        FROM raw WINDOW w AS (ORDER BY at))
        SELECT date_bin(%(step)s, at, 'epoch'::timestamptz) AS stretch, sum(seconds), {said}
          FROM each WHERE at >= %(since)s GROUP BY stretch ORDER BY stretch
    """  # noqa: S608  names of this module only


_SERIES: Final = _sql()
