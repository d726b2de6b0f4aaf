"""The change log of roles and assignments, in the organisation's own schema, with the actor (H10).

It tells what changed; the audit trail tells also what was refused, why, and from where.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from audit.actors import Actor
from rbac.models import Assignment, Change

KEEP: Final = timedelta(days=90)  # hosted-contract section 10.1
STAFF: Final = "staff"  # the kind of audit.actors.Actor.staff
_BATCH: Final = 5000  # rows a transaction deletes, so that nobody waits long for it


def log(
    action: str,
    entity_type: str,
    entity_id: str,
    *,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    actor: Actor,
) -> None:
    """One row in the current schema. `entity_type` is role or assignment."""
    Change.objects.create(
        action=action,
        entity_type=entity_type,
        entity_id=entity_id[:128],
        old_value=old,
        new_value=new,
        actor=f"{actor.kind}:{actor.id}"[:128],
    )


def roles_held(user_id: UUID) -> list[str]:
    """The ids of the roles that are assigned to a person in the current schema, sorted."""
    held = Assignment.objects.filter(user=user_id).order_by("role_id")
    return list(held.values_list("role_id", flat=True))


def public_record(change: Change) -> dict[str, Any]:
    """The contract's shape: values are JSON texts, times RFC 3339 in UTC. `user` is `<kind>:<id>`,
    or `staff` alone: which of the platform's people it was is not the organisation's to know."""
    return {
        "id": change.pk,
        "action": change.action,
        "entityType": change.entity_type,
        "entityId": change.entity_id,
        "oldValue": _text(change.old_value),
        "newValue": _text(change.new_value),
        "user": STAFF if change.actor.startswith(f"{STAFF}:") else change.actor,
        "timestamp": f"{change.at:%Y-%m-%dT%H:%M:%SZ}",
    }


def prune(*, before: datetime | None = None) -> int:
    """Deletes what is older than 90 days (or `before`) from the current schema; how many rows."""
    before = before or timezone.now() - KEEP
    deleted = 0
    while True:
        oldest = Change.objects.filter(at__lt=before).order_by("pk").values("pk")[:_BATCH]
        count, _ = Change.objects.filter(pk__in=oldest).delete()
        deleted += count
        if count < _BATCH:
            return deleted


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))
