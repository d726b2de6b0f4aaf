"""What the last proof and the last drills say, and for how long they say anything."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from tenants.models import ReadinessKind, ReadinessRecord

# A proof that is older than this says little about today. Drills are run daily and try what changes
# more seldom.
FRESH_FOR: Final = {
    ReadinessKind.PROVE: timedelta(hours=24),
    ReadinessKind.LIFECYCLE_DRILL: timedelta(days=7),
    ReadinessKind.RBAC_DRILL: timedelta(days=7),
}


def last(kind: ReadinessKind = ReadinessKind.PROVE) -> ReadinessRecord | None:
    return ReadinessRecord.objects.filter(kind=kind).order_by("-started_at").first()


def is_fresh(record: ReadinessRecord) -> bool:
    return timezone.now() - record.started_at < FRESH_FOR[ReadinessKind(record.kind)]


def summary(record: ReadinessRecord) -> str:
    """`11 of 11 steps`, `7 of 7 drills` or the first fact that blocks."""
    if record.blocking:
        return str(record.blocking[0])
    passed = sum(step.get("status") == "passed" for step in record.steps)
    what = "steps" if record.kind == ReadinessKind.PROVE else "drills"
    return f"{passed} of {len(record.steps)} {what}"
