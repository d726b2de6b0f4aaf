"""Operators notice when the trail is not sealed any more: metrics and readiness."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit import sealing, tasks
from audit.models import Batch
from pulsecloud import health, metrics
from tests.audit.tampering import record
from tests.metrics.scrape import Key, parsed, value

pytestmark = pytest.mark.django_db
WAITING, AGE, LAST = (
    "pulsecloud_audit_unsealed_events",
    "pulsecloud_audit_unsealed_seconds",
    "pulsecloud_audit_last_sealed_seconds",
)


@pytest.fixture
def scrape(settings: Any, tmp_path: Path) -> Any:
    settings.METRICS_DIR = tmp_path / "metrics"

    def read() -> dict[Key, float]:
        return parsed(metrics.collect())

    return read


def test_gauges(scrape: Any) -> None:
    before = scrape()
    assert value(before, WAITING) == value(before, AGE) == 0
    assert (LAST, ()) not in before
    record(3)
    waiting = scrape()
    assert value(waiting, WAITING) == 3
    assert 0 <= value(waiting, AGE) < 60
    tasks.seal(0)
    after = scrape()
    assert value(after, WAITING) == value(after, AGE) == 0
    assert 0 <= value(after, LAST) < 60


def test_readiness_warns_and_does_not_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready() -> dict[str, Any]:
        monkeypatch.setattr(health, "blocking_facts", lambda: [])
        answer = Client().get("/readyz")
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body

    record()
    assert ready()["warnings"] == []  # for ten minutes this is only a pause
    monkeypatch.setattr(sealing, "STUCK", timedelta(0))
    (warning,) = ready()["warnings"]
    assert warning["fact"] == "audit_unsealed"
    assert "manage.py audit seal" in warning["detail"]
    sealing.seal()
    assert ready()["warnings"] == []


def test_the_job_survives_a_refusal_and_says_why(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record()
    sealing.seal()
    record()
    settings.ENCRYPTION_KEY = "b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkgMTI="
    tasks.seal(0)
    assert Batch.objects.count() == 1
    assert "audit trust" in caplog.text
