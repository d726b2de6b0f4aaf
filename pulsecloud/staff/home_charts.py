"""What the charts of the staff home show, and the error budgets beside them.

Three queries: the samples, the newest of them, and when organisations asked and were set up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from pulsecloud import objectives, samples
from pulsecloud.samples import Point
from pulsecloud.staff import badges, charts
from pulsecloud.staff.charts import Chart, Line, Span, Value, said, spread

LOW: Final = 25  # percent of an error budget below which somebody should look
_BUDGETS_STEP: Final = timedelta(hours=6)

_SIGNUPS: Final = """
SELECT date_bin(%(step)s, at, 'epoch'::timestamptz), count(*) FILTER (WHERE kind = 'asked'),
       count(*) FILTER (WHERE kind = 'set up'), count(*) FILTER (WHERE kind = 'failed')
FROM (
    SELECT created_at AS at, 'asked' AS kind FROM tenants_organisation
     WHERE NOT canary AND created_at >= %(since)s
    UNION ALL
    SELECT provisioned_at, 'set up' FROM tenants_organisation
     WHERE NOT canary AND provisioned_at >= %(since)s
    UNION ALL
    SELECT e.at, 'failed' FROM audit_event e JOIN tenants_organisation o ON o.id = e.organisation
     WHERE e.action = 'org_provisioning_failed' AND e.at >= %(since)s AND NOT o.canary
) happened GROUP BY 1
"""


@dataclass(frozen=True)
class BudgetRow:
    """One objective: `bar` is what is left of its error budget, 0 to 100."""

    words: str
    target: str
    share: str
    left: str
    bar: int
    tone: str
    days: int


@dataclass(frozen=True)
class Moves:
    charts: Sequence[Chart]
    budgets: Sequence[BudgetRow]


def read(span: Span) -> Moves:
    """Raises DatabaseError."""
    now = timezone.now()
    at = charts.moments(now - span.length, now, span.step)
    long = samples.series(now - timedelta(days=30), _BUDGETS_STEP)
    points = long if span.step == _BUDGETS_STEP else samples.series(at[0], span.step)
    coarse = span.step if span.step >= timedelta(hours=1) else timedelta(hours=1)
    coarse = timedelta(days=1) if span.length > timedelta(days=7) else coarse
    drawn = [
        *_over_time(span, at, points, samples.latest()),
        _signups(span, charts.moments(now - span.length, now, coarse), coarse),
    ]
    order = (0, 1, 5, 2, 3, 4)
    return Moves(
        [drawn[place] for place in order], [_row(each) for each in objectives.budgets(long)]
    )


def _over_time(
    span: Span, at: Sequence[datetime], points: Sequence[Point], latest: Mapping[str, float]
) -> list[Chart]:
    """A point is the mean of its stretch; what stands above a line of counts is the newest count."""

    def line(title: str, tone: str, name: str, *, dashed: bool = False, unit: str = "") -> Line:
        found: dict[datetime, Value] = {p.at: p.values.get(name) for p in points}
        return Line(title, tone, spread(at, found), unit, dashed)

    def rate(title: str, tone: str, name: str) -> Line:
        found: dict[datetime, Value] = {
            p.at: 60 * p.values[name] / p.seconds for p in points if name in p.values and p.seconds
        }
        return Line(title, tone, spread(at, found), " a minute")

    active = line("Active", badges.CALM, "active")
    connected = line("Connected", badges.CALM, "connected")
    wanted = line("Should be", badges.WARN, "builtin", dashed=True)
    phones = line("App sessions", badges.CALM, "phones")
    asked, errors = rate("Requests", badges.CALM, "requests"), rate("5xx", badges.BAD, "errors")
    wait = line("Oldest due job", badges.CALM, "job_wait", unit=" s")
    failed = line("Failed jobs", badges.BAD, "jobs_failed")
    total = line("", "", "requests").total
    broken = line("", "", "errors").total
    return [
        charts.line_chart(
            "Active organisations", said(latest.get("active")), "canaries left out", [active], at, span
        ),
        charts.line_chart(
            "Live instances", said(latest.get("connected")),
            f"of {said(latest['builtin'])} that should be connected" if latest else "",
            [connected, wanted], at, span,
        ),
        charts.line_chart(
            "App sessions", said(latest.get("phones")), "phones connected", [phones], at, span
        ),
        charts.line_chart(
            "Requests a minute", asked.now,
            f"{said(broken)} of {said(total)} answered with a 5xx", [asked, errors], at, span,
        ),
        charts.line_chart(
            "Queue", f"{wait.now} s" if wait.last is not None else wait.now,
            f"wait of the oldest due job; {failed.now} failed",
            [wait], at, span,
        ),
    ]  # fmt: skip


def _signups(span: Span, at: Sequence[datetime], step: timedelta) -> Chart:
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"since": at[0], "step": step}
        cursor.execute(_SIGNUPS, parameters)
        found = {moment: counts for moment, *counts in cursor.fetchall()}
    kinds = (("Asked", badges.QUIET), ("Set up", badges.GOOD), ("Failed", badges.BAD))
    lines = [
        Line(title, tone, [float(found[m][place]) if m in found else 0.0 for m in at])
        for place, (title, tone) in enumerate(kinds)
    ]
    asked, done, failed = lines
    note = f"asked, {done.sum} set up, {failed.sum} attempts failed"
    return charts.bar_chart("Sign-ups", asked.sum, note, lines, at, span)


def _row(budget: objectives.Budget) -> BudgetRow:
    objective = budget.objective
    target = f"{100 * objective.target:g} %"
    if budget.share is None or budget.left is None:
        return BudgetRow(
            objective.words, target, "–", "nothing yet", 0, badges.QUIET, objective.days
        )
    tone = badges.GOOD if budget.left > LOW else badges.WARN if budget.left > 0 else badges.BAD
    return BudgetRow(
        objective.words,
        target,
        f"{_down(100 * budget.share)} %",
        f"{budget.left} % left" if budget.left > 0 else "used up",
        max(0, min(100, budget.left)),
        tone,
        objective.days,
    )


def _down(percent: float) -> str:
    """Two digits after the point, never rounded up to something better than it was."""
    return f"{int(percent * 100) / 100:.2f}".rstrip("0").rstrip(".")
