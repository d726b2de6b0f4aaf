"""The charts of the first page: what they draw, their gaps, and a month of samples."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from pulsecloud import samples
from pulsecloud.staff import charts
from pulsecloud.staff.charts import Chart, Line
from tenants.models import Organisation, Rollout, Sample
from tests.admin import staff
from tests.admin.test_pages_answer import queries
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


def fill(days: int = 1, **values: float) -> None:
    """Samples of the last days, with counters that move by `values` each time."""
    now, counts = samples._slot(timezone.now()), dict.fromkeys(samples.COUNTERS, 0.0)
    rows = []
    for number in range(days * 288, -1, -1):
        counts = {name: count + values.get(name, 0) for name, count in counts.items()}
        gauges = {name: values.get(name, 0) for name in samples.GAUGES}
        rows.append(Sample(at=now - samples.EVERY * number, figures=gauges | counts))
    Sample.objects.bulk_create(rows, batch_size=2000)


def page(client: Client, span: str = "") -> dict[str, Chart]:
    answer = client.get("/admin/", {"span": span} if span else {})
    assert answer.status_code == 200
    return {chart.title: chart for chart in answer.context["charts"]}


def test_without_samples_they_say_so(client: Client) -> None:
    found = page(client)
    assert found["App sessions"].empty
    assert "notes the figures every five minutes" in client.get("/admin/").content.decode()


@pytest.mark.parametrize("span", ["24h", "30d"])
def test_they_show_what_the_samples_hold(client: Client, span: str) -> None:
    fill(31, builtin=5, connected=4, phones=7, requests=600, errors=6)
    found = page(client, span)
    assert found["App sessions"].value == "7"
    assert found["Live instances"].value == "4"
    assert found["Live instances"].note == "of 5 that should be connected"
    assert found["Requests a minute"].value == "120"
    drawn = found["App sessions"].drawn[0]
    assert drawn.path.startswith("M") and "L" in drawn.path and drawn.area.endswith("Z")


def test_an_unknown_span_is_a_day(client: Client) -> None:
    assert client.get("/admin/", {"span": staff.HOSTILE}).context["span"] == charts.SPANS[0]


def test_signups_and_failures_leave_canaries_out(client: Client) -> None:
    make_organisation()
    make_organisation(canary=True)
    failed = make_organisation("failed")
    for organisation in (failed, Organisation.objects.filter(canary=True).first()):
        assert organisation is not None
        trail.record(
            action="org_provisioning_failed",
            actor=Actor.system("test"),
            organisation=organisation.pk,
        )
    old = make_organisation("failed")
    Organisation.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=3))
    chart = page(client)["Sign-ups"]
    assert [line.sum for line in chart.lines] == ["2", "1", "1"]
    assert [line.sum for line in page(client, "30d")["Sign-ups"].lines] == ["3", "1", "1"]


def test_the_first_page_costs_the_same_after_a_month(client: Client) -> None:
    queries(client, "/admin/")
    few = queries(client, "/admin/")
    fill(31, phones=3)
    assert queries(client, "/admin/") == few <= 16
    assert queries(client, "/admin/?span=30d") <= few


def test_budgets_stand_on_the_page(client: Client) -> None:
    fill(1, requests=1000, errors=2, builtin=10, connected=10)
    rows = {row.words: row for row in client.get("/admin/").context["budgets"]}
    used = rows["Requests answered without a 5xx"]
    assert (used.share, used.left, used.tone) == ("99.8 %", "used up", "bad")
    assert rows["Active organisations connected to the relay"].left == "100 % left"
    assert rows["Attempts at setting up that worked"].left == "nothing yet"


def test_a_stop_of_sign_ups_is_said(client: Client) -> None:
    Rollout.objects.update_or_create(
        pk=1,
        defaults={"signups_stopped_at": timezone.now(), "signups_stop_reason": "mail is down"},
    )
    texts = [notice.text for notice in client.get("/admin/").context["notices"]]
    assert any("Sign-ups are stopped" in text and "mail is down" in text for text in texts)


class TestDrawing:
    def drawn(self, *values: Any) -> str:
        span = charts.SPANS[0]
        now = timezone.now()
        at = [now - span.step * (len(values) - n) for n in range(len(values))]
        chart = charts.line_chart("T", "", "", [Line("T", "calm", values)], at, span)
        return chart.drawn[0].path

    def test_a_gap_lifts_the_pen(self) -> None:
        assert self.drawn(1, 2, None, 3, 4).count("M") == 2

    def test_a_lone_point_is_seen(self) -> None:
        assert re.fullmatch(r"M[\d. ]+ L[\d. ]+", self.drawn(None, 5, None))

    def test_stays_inside_its_frame(self) -> None:
        numbers = re.findall(r"[\d.]+", self.drawn(0, 1e9, 3.5, 0.001))
        assert all(0 <= float(number) <= 100 for number in numbers)

    def test_numbers_are_said_as_people_write_them(self) -> None:
        said = [charts.said(value) for value in (None, 0, 3.0, 0.25, 1234567.0, 101.5)]
        assert said == ["–", "0", "3", "0.25", "1,234,567", "102"]
