"""Samples of the platform's figures: one every five minutes, kept a month, read in one query."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django import app
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from pulsecloud import objectives, samples
from pulsecloud.samples import Point
from tenants.models import Sample, State
from tests.admin import staff
from tests.factories import make_organisation

START = datetime(2026, 3, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def sample(minutes: int, **values: float) -> None:
    Sample.objects.create(at=START + timedelta(minutes=minutes), figures=values)


def test_one_for_each_five_minutes() -> None:
    now = datetime(2026, 3, 1, 12, 7, 31, tzinfo=UTC)
    assert samples.take(now)
    assert not samples.take(now + timedelta(minutes=2))
    assert samples.take(now + timedelta(minutes=3))
    slots = Sample.objects.order_by("at").values_list("at", flat=True)
    assert [slot.minute for slot in slots] == [5, 10]


def test_holds_what_is_now() -> None:
    staff.connected()
    make_organisation(State.SUSPENDED)
    staff.connected(canary=True)
    samples.take()
    figures = Sample.objects.get().figures
    assert (figures["active"], figures["builtin"], figures["connected"]) == (1, 1, 1)
    assert figures["phones"] == 2
    assert set(figures) == {*samples.GAUGES, *samples.COUNTERS}


def test_nobody_should_be_connected_while_hosted_mode_is_off(settings: Any) -> None:
    """Or a day with the mode off would use up a budget that Prometheus leaves untouched."""
    staff.connected()
    settings.HOSTED_MODE = False
    samples.take()
    figures = Sample.objects.get().figures
    assert (figures["active"], figures["builtin"], figures["connected"]) == (1, 0, 0)
    (point,) = samples.series(timezone.now() - timedelta(hours=1), timedelta(days=1))
    budgets = {budget.objective.name: budget.left for budget in objectives.budgets([point])}
    assert budgets["connected"] is None


def test_the_job_takes_and_prunes() -> None:
    old = timezone.now() - timedelta(days=32)
    Sample.objects.create(at=old, figures={})
    app.tasks["pulsecloud.tasks.sample"](timestamp=0)
    assert Sample.objects.count() == 1
    assert not Sample.objects.filter(at=old).exists()


def test_gauges_are_averaged_and_counters_counted() -> None:
    for minute, phones, requests in ((0, 1, 100), (5, 3, 130), (15, 5, 150), (20, 7, 160)):
        sample(minute, phones=phones, requests=requests)
    points = samples.series(START, timedelta(minutes=15))
    assert [point.at.minute for point in points] == [0, 15]
    assert [point.values["phones"] for point in points] == [2, 6]
    assert [point.values["requests"] for point in points] == [30, 30]
    assert [point.seconds for point in points] == [300, 900]


def test_a_counter_that_began_anew_is_no_spike() -> None:
    for minute, requests in ((0, 1000), (5, 1010), (10, 4), (15, 10)):
        sample(minute, requests=requests)
    (point,) = samples.series(START, timedelta(hours=1))
    assert point.values["requests"] == 10 + 4 + 6


def test_a_stretch_without_samples_has_no_point() -> None:
    sample(0, phones=1)
    sample(60, phones=1)
    points = samples.series(START, timedelta(minutes=15))
    assert [point.at for point in points] == [START, START + timedelta(hours=1)]


def test_a_sample_of_an_older_release_lacks_what_it_did_not_know() -> None:
    sample(0, phones=1)
    (point,) = samples.series(START, timedelta(minutes=15))
    assert "connected" not in point.values


def test_counters_are_read_from_what_the_processes_counted() -> None:
    http = HistogramMetricFamily("pulse_hosted_http_request_seconds", "x", labels=["area", "code"])
    http.add_metric(["api", "2xx"], [("0.1", 7), ("+Inf", 9)], 1.0)
    http.add_metric(["api", "5xx"], [("0.1", 1), ("+Inf", 2)], 1.0)
    http.add_metric(["admin", "5xx"], [("0.1", 0), ("+Inf", 40)], 9.0)  # staff's, no customer's
    made = CounterMetricFamily("pulse_hosted_provisions", "x", labels=["status"])
    made.add_metric(["success"], 5)
    made.add_metric(["failure"], 1)
    took = HistogramMetricFamily("pulse_hosted_provisioning_seconds", "x")
    took.add_metric([], [("30.0", 3), ("60.0", 4), ("+Inf", 5)], 1.0)
    verbs = HistogramMetricFamily("pulse_hosted_lifecycle_seconds", "x", labels=["verb"])
    verbs.add_metric(["suspend"], [("1.0", 6), ("+Inf", 6)], 1.0)
    verbs.add_metric(["restore"], [("1.0", 1), ("+Inf", 3)], 1.0)
    assert samples.counted([http, made, took, verbs]) == {
        "requests": 11, "errors": 2, "provisions": 6, "failures": 1,
        "set_up": 5, "set_up_slowly": 1, "verbs": 9, "verbs_slowly": 2,
    }  # fmt: skip


class TestBudgets:
    def points(self, **values: float) -> list[Point]:
        return [Point(START + timedelta(days=day), values, 86_400) for day in range(30)]

    def left(self, name: str, points: list[Point]) -> Any:
        found = {budget.objective.name: budget.left for budget in objectives.budgets(points)}
        return found[name]

    def test_nothing_happened_yet(self) -> None:
        assert {budget.left for budget in objectives.budgets([])} == {None}

    def test_what_went_wrong_uses_it_up(self) -> None:
        assert self.left("availability", self.points(requests=1000, errors=0)) == 100
        assert self.left("availability", self.points(requests=10_000, errors=5)) == 50
        assert self.left("availability", self.points(requests=1000, errors=1)) == 0
        assert self.left("availability", self.points(requests=1000, errors=2)) == -100

    def test_connected_counts_by_time(self) -> None:
        assert self.left("connected", self.points(builtin=1000, connected=995)) == 50
        quiet = [Point(START, {"builtin": 1000, "connected": 1000}, 300)] * 199
        away = [Point(START, {"builtin": 1, "connected": 0}, 300)]
        assert self.left("connected", quiet + away) == 50  # one moment of 200, as Prometheus says

    def test_each_looks_back_as_far_as_it_says(self) -> None:
        old = self.points(provisions=10, failures=10)[:20]
        new = [
            Point(START + timedelta(days=day), {"provisions": 10, "failures": 0}, 86_400)
            for day in range(20, 30)
        ]
        assert self.left("provisioning", old + new) == 100
