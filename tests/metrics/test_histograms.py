"""Durations: in the right bucket, added up over processes, kept when one dies (F72)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from pulsecloud import metric_files, metrics, request_metrics
from tenants import lifecycle
from tenants import metrics as counted
from tenants.models import SuspendedBy
from tenants.rollout import signups
from tenants.states import TransitionRefused
from tests.factories import make_organisation
from tests.metrics.conftest import Counting
from tests.metrics.scrape import Key, parsed, value
from tests.rollout import standing

HTTP = "pulse_hosted_http_request_seconds"


def own(name: str, **labels: str) -> float:
    """A series of this process, as it counted it itself."""
    found = counted.registry.get_sample_value(name, labels)
    assert found is not None
    return found


@pytest.mark.django_db
@pytest.mark.covers("F72")
def test_buckets_of_dead_and_living_processes_are_added_up(
    counting: Callable[[], Counting], metrics_dir: Path
) -> None:
    for _ in range(2):
        one = counting()
        one.say("answered api 200 0.02", times=3)
        one.say("answered api 503 7")
        one.kill()
    alive = counting()
    alive.say("answered api 200 0.3", times=2)

    def look() -> None:
        found: dict[Key, float] = parsed(metrics.collect())
        good = {"area": "api", "code": "2xx"}
        assert value(found, f"{HTTP}_bucket", le="0.01", **good) == 0
        assert value(found, f"{HTTP}_bucket", le="0.025", **good) == 6
        assert value(found, f"{HTTP}_bucket", le="0.5", **good) == 8
        assert value(found, f"{HTTP}_bucket", le="+Inf", **good) == 8
        assert value(found, f"{HTTP}_count", **good) == 8
        assert value(found, f"{HTTP}_sum", **good) == pytest.approx(6 * 0.02 + 2 * 0.3)
        assert value(found, f"{HTTP}_count", area="api", code="5xx") == 2

    look()
    assert metric_files.fold(metrics_dir) == 2 * len(metric_files.KINDS)
    look()
    look()


@pytest.mark.django_db
def test_every_series_is_there_before_anything_happened(counting: Callable[[], Counting]) -> None:
    counting()
    found = parsed(metrics.collect())
    for area in counted.AREAS:
        for code in counted.CODES:
            assert value(found, f"{HTTP}_count", area=area, code=code) == 0
    for verb in counted.VERBS:
        assert value(found, "pulse_hosted_lifecycle_seconds_count", verb=verb) == 0
    assert value(found, "pulse_hosted_provisioning_seconds_count") == 0
    assert value(found, "pulse_hosted_proof_seconds_count") == 0


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("/api/public/signup", "hosted"),
        ("/api/admin/orgs/1/suspend", "hosted"),
        ("/api/hosted/organizations", "hosted"),
        ("/api/entitlements/refresh", "hosted"),
        ("/api/webhooks/stripe", "hosted"),
        ("/api/roles", "api"),
        ("/admin/tenants/organisation/", "admin"),
        ("/administration", "pages"),
        ("/", "pages"),
        ("/o/acme/", "pages"),
    ],
)
def test_areas(path: str, area: str) -> None:
    assert request_metrics.area(path) == area
    assert area in counted.AREAS


def test_a_status_outside_the_classes_is_a_failure_of_ours() -> None:
    before = own(f"{HTTP}_count", area="api", code="5xx")
    counted.answered("api", 700, 0.1)
    assert own(f"{HTTP}_count", area="api", code="5xx") == before + 1


@pytest.mark.django_db
def test_requests_are_counted_health_and_static_files_are_not() -> None:
    def count() -> float:
        return sum(
            own(f"{HTTP}_count", area=a, code=c) for a in counted.AREAS for c in counted.CODES
        )

    browser = Client()
    before, refused = count(), own(f"{HTTP}_count", area="pages", code="4xx")
    browser.get("/", headers={"host": "nobody.example"})
    assert own(f"{HTTP}_count", area="pages", code="4xx") == refused + 1
    assert count() == before + 1
    for path in ("/livez", "/readyz", "/metrics", "/static/missing.css"):
        browser.get(path, headers={"host": "localhost"})
    assert count() == before + 1


@pytest.mark.django_db
def test_a_refusal_that_somebody_decided_is_no_failure_of_ours() -> None:
    """The stop button is pressed in a bad night: it must not use up the budget of that very night."""
    standing.stage()
    signups.stop(actor=Actor.system("test"), reason="the relay burns")
    failures = [own(f"{HTTP}_count", area=area, code="5xx") for area in counted.AREAS]
    refused = own(f"{HTTP}_count", area="hosted", code="4xx")
    answer = Client().post(
        "/api/public/signup",
        {"email": "anna@example.test", "org_name": "Anna"},
        content_type="application/json",
        headers={"host": "localhost"},
    )
    assert answer.status_code == 503
    assert own(f"{HTTP}_count", area="hosted", code="4xx") == refused + 1
    assert failures == [own(f"{HTTP}_count", area=area, code="5xx") for area in counted.AREAS]


@pytest.mark.django_db
def test_a_verb_that_was_saved_is_timed_and_a_refused_one_is_not() -> None:
    def count(verb: str) -> float:
        return own("pulse_hosted_lifecycle_seconds_count", verb=verb)

    organisation = make_organisation()
    arguments = {
        "organisation": organisation,
        "by": SuspendedBy.PLATFORM,
        "actor": Actor.system("test"),
    }
    before = {verb: count(verb) for verb in counted.VERBS}
    lifecycle.suspend(**arguments)  # type: ignore[arg-type]
    with pytest.raises(TransitionRefused):
        lifecycle.suspend(**arguments)  # type: ignore[arg-type]
    lifecycle.unsuspend(**arguments)  # type: ignore[arg-type]
    lifecycle.soft_delete(**arguments)  # type: ignore[arg-type]
    lifecycle.restore(**arguments)  # type: ignore[arg-type]
    assert {verb: count(verb) - before[verb] for verb in counted.VERBS} == dict.fromkeys(
        counted.VERBS, 1
    )


def test_provisioning_is_timed_from_the_proved_mailbox() -> None:
    name = "pulse_hosted_provisioning_seconds"
    now = timezone.now()
    count, total = own(f"{name}_count"), own(f"{name}_sum")
    counted.provisioning_took(now - timedelta(seconds=42), now)
    counted.provisioning_took(None, now)
    counted.provisioning_took(now + timedelta(seconds=1), now)  # clocks may be set back
    assert own(f"{name}_count") == count + 2
    assert own(f"{name}_sum") == pytest.approx(total + 42)
