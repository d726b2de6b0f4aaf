"""What the last run of `manage.py prove` says, and for how long it says anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from tenants.models import ReadinessRecord

# A proof that is older than this says little about today.
FRESH_FOR: Final = timedelta(hours=24)


def last() -> ReadinessRecord | None:
    return ReadinessRecord.objects.order_by("-started_at").first()


def is_fresh(record: ReadinessRecord) -> bool:
    return timezone.now() - record.started_at < FRESH_FOR


def summary(record: ReadinessRecord) -> str:
    """`11 of 11 steps` or the first fact that blocks."""
    if record.blocking:
        return str(record.blocking[0])
    passed = sum(step.get("status") == "passed" for step in record.steps)
    return f"{passed} of {len(record.steps)} steps"
