"""What became of an organisation that was to be deleted, for commands, pages and logs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from tenants.models import DeletionReceipt, Removal

DELETED, DRY_RUN, FAILED = "deleted", "dry_run", "failed"


@dataclass(frozen=True)
class Reaped:
    """What became of one organisation (hosted-contract section 6): `action` is deleted, dry_run or
    failed; `blast` is what went, or would go; `waits` is why a dry run's would be left alone now."""

    organisation: str
    label: str
    requested_at: datetime
    retention_days: int | None
    due_at: datetime
    action: str
    error: str = ""
    blast: dict[str, Any] = field(default_factory=dict)
    receipt: str = ""
    waits: str = ""

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        for name in ("requested_at", "due_at"):
            found[name] = found[name].isoformat(timespec="seconds")
        return found


def of(
    removal: Removal,
    action: str,
    *,
    error: str = "",
    blast: dict[str, Any] | None = None,
    receipt: DeletionReceipt | None = None,
    waits: str = "",
) -> Reaped:
    organisation = removal.organisation
    return Reaped(
        organisation=str(organisation.pk),
        label=organisation.label,
        requested_at=removal.requested_at,
        retention_days=organisation.retention_days,
        due_at=removal.due_at,
        action=action,
        error=error,
        blast=blast or {},
        receipt=str(receipt.pk) if receipt else "",
        waits=waits,
    )
