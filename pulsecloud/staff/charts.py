"""Charts of the staff home, drawn here as SVG paths: no script, nothing loaded from elsewhere.

A chart's drawing is 100 by 100 and is stretched to its place; words and numbers stand beside it as
ordinary text. Where there was no sample the line has a gap. What is drawn is also there as a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WIDE = HIGH = 100.0
Value = float | None


@dataclass(frozen=True)
class Span:
    """A stretch of time to look back on, in steps; each is one point of a line."""

    name: str
    title: str
    length: timedelta
    step: timedelta
    clock: str  # how a moment is written below the chart, for strftime


SPANS: Final = (
    Span("24h", "24 hours", timedelta(hours=24), timedelta(minutes=15), "%H:%M"),
    Span("30d", "30 days", timedelta(days=30), timedelta(hours=6), "%-d %b"),
)


def span(name: str) -> Span:
    """The one of that name, else the first."""
    return next((each for each in SPANS if each.name == name), SPANS[0])


def moments(since: datetime, until: datetime, step: timedelta) -> list[datetime]:
    """Where points may stand: multiples of `step` since 1970, as PostgreSQL's date_bin cuts."""
    seconds = step.total_seconds()
    first = math.ceil(since.timestamp() / seconds)
    last = math.floor(until.timestamp() / seconds)
    return [
        datetime.fromtimestamp(number * seconds, since.tzinfo) for number in range(first, last + 1)
    ]


@dataclass(frozen=True)
class Line:
    """One line or row of bars. `values` has one per moment, None where nothing is known."""

    title: str
    tone: str
    values: Sequence[Value]
    unit: str = ""
    dashed: bool = False

    @property
    def last(self) -> Value:
        return next((value for value in reversed(self.values) if value is not None), None)

    @property
    def total(self) -> float:
        return sum(value or 0.0 for value in self.values)

    @property
    def now(self) -> str:
        return said(self.last) if self.last is not None else "–"

    @property
    def sum(self) -> str:
        return said(self.total)


@dataclass(frozen=True)
class Drawn:
    """A line as SVG: `path` is its stroke, `area` what is below it (for the first line)."""

    line: Line
    path: str
    area: str


@dataclass(frozen=True)
class Stop:
    """One moment under the pointer: where it begins, how wide it is, and what it says."""

    x: float
    width: float
    says: str


@dataclass(frozen=True)
class BarPart:
    x: float
    y: float
    width: float
    height: float
    tone: str


@dataclass(frozen=True)
class Chart:
    """What templates/staff/chart.html shows."""

    title: str
    value: str
    note: str
    drawn: Sequence[Drawn]
    bars: Sequence[BarPart]
    stops: Sequence[Stop]
    top: str
    labels: Sequence[str]
    lines: Sequence[Line]
    rows: Sequence[tuple[str, Sequence[str]]]

    @property
    def empty(self) -> bool:
        return not any(value is not None for line in self.lines for value in line.values)


def line_chart(
    title: str, value: str, note: str, lines: Sequence[Line], at: Sequence[datetime], over: Span
) -> Chart:
    top = _ceiling(lines)
    drawn = [
        Drawn(line, _path(line.values, top), _area(line.values, top) if place == 0 else "")
        for place, line in enumerate(lines)
    ]
    return _chart(title, value, note, lines, at, over, top, drawn=drawn)


def bar_chart(
    title: str, value: str, note: str, lines: Sequence[Line], at: Sequence[datetime], over: Span
) -> Chart:
    """Bars side by side for what happened in each stretch; zero draws nothing."""
    top = _ceiling(lines)
    slot = WIDE / max(1, len(at))
    each = slot * 0.8 / max(1, len(lines))
    bars = [
        BarPart(
            round(slot * place + slot * 0.1 + each * number, 2),
            round(HIGH - HIGH * value / top, 2),
            round(each, 2),
            round(HIGH * value / top, 2),
            line.tone,
        )
        for number, line in enumerate(lines)
        for place, value in enumerate(line.values)
        if value
    ]
    return _chart(title, value, note, lines, at, over, top, bars=bars)


def _chart(
    title: str,
    value: str,
    note: str,
    lines: Sequence[Line],
    at: Sequence[datetime],
    over: Span,
    top: float,
    *,
    drawn: Sequence[Drawn] = (),
    bars: Sequence[BarPart] = (),
) -> Chart:
    slot = WIDE / max(1, len(at))
    stops = [
        Stop(round(slot * place, 3), round(slot, 3), f"{_when(moment)}: {_all(lines, place)}")
        for place, moment in enumerate(at)
    ]
    shown = [at[0], at[len(at) // 2], at[-1]] if len(at) > 2 else list(at)
    labels = [moment.strftime(over.clock) for moment in shown]
    if labels:
        labels[-1] = "now"
    every = max(1, len(at) // 24)  # a table of 24 rows or so
    rows = [
        (_when(moment), [said(line.values[place]) for line in lines])
        for place, moment in reversed(list(enumerate(at)))
        if (len(at) - 1 - place) % every == 0
    ]
    return Chart(title, value, note, drawn, bars, stops, said(top), labels, lines, rows)


def said(value: Value) -> str:
    """`1,234`, `0.25`; a dash for nothing known."""
    if value is None:
        return "–"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _when(moment: datetime) -> str:
    return f"{moment:%-d %b %H:%M}"


def _all(lines: Sequence[Line], place: int) -> str:
    return ", ".join(
        f"{line.title.lower()} {said(line.values[place])}{line.unit}" for line in lines
    )


def _ceiling(lines: Sequence[Line]) -> float:
    """A round number that leaves room above every value for its own words."""
    most = 1.15 * max((v for line in lines for v in line.values if v is not None), default=0.0)
    if most <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * factor for factor in (1, 1.5, 2, 3, 5, 7.5, 10) if power * factor >= most)


def _runs(values: Sequence[Value], top: float) -> list[list[tuple[float, float]]]:
    """The points of the line between its gaps."""
    slot = WIDE / max(1, len(values))
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            x = slot * (place + 0.5)
            runs[-1].append((round(x, 2), round(HIGH - HIGH * value / top, 2)))
    return [run for run in runs if run]


def _path(values: Sequence[Value], top: float) -> str:
    parts = []
    for run in _runs(values, top):
        if len(run) == 1:  # a lone point would not be seen
            x, y = run[0]
            run = [(round(x - 0.3, 2), y), (round(x + 0.3, 2), y)]
        parts.append("M" + " L".join(f"{x} {y}" for x, y in run))
    return " ".join(parts)


def _area(values: Sequence[Value], top: float) -> str:
    parts = []
    for run in _runs(values, top):
        if len(run) > 1:
            line = " L".join(f"{x} {y}" for x, y in run)
            parts.append(f"M{run[0][0]} {HIGH} L{line} L{run[-1][0]} {HIGH} Z")
    return " ".join(parts)


def spread(at: Sequence[datetime], found: dict[datetime, Value]) -> list[Value]:
    return [found.get(moment) for moment in at]
