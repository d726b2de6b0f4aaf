"""What the last drills said, and whether new ones, or a proof, are due. Imports nothing that runs them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from tenants.models import ReadinessKind, ReadinessRecord

# What `manage.py drill` and the metrics' label `kind` call them.
NAMES: Final = {
    "lifecycle": ReadinessKind.LIFECYCLE_DRILL,
    "rbac": ReadinessKind.RBAC_DRILL,
}


def proof_due(now: datetime | None = None) -> bool:
    """Whether the last proof is older than settings.PROVE_EVERY; never when that is 0."""
    if not settings.PROVE_EVERY:
        return False
    after = (now or timezone.now()) - timedelta(seconds=settings.PROVE_EVERY)
    proofs = ReadinessRecord.objects.filter(kind=ReadinessKind.PROVE)
    return not proofs.filter(started_at__gt=after).exists()


def last(name: str) -> ReadinessRecord | None:
    """The newest record of these drills, passed or not."""
    return ReadinessRecord.objects.filter(kind=NAMES[name]).order_by("-started_at").first()


def due(now: datetime | None = None) -> list[str]:
    """Names of the drills whose last record is older than settings.DRILLS_EVERY; none when that
    is 0."""
    if not settings.DRILLS_EVERY:
        return []
    before = (now or timezone.now()) - timedelta(seconds=settings.DRILLS_EVERY)
    newest = {name: last(name) for name in NAMES}
    return [name for name, record in newest.items() if not record or record.started_at <= before]
