"""An event of the trail as the organisation that it is about may see it (hosted-contract section 24).

People and tokens of the organisation are named, with the address and path of their requests. What
staff did is shown as done by "Platform staff", and what the software did as "PulseCloud": what and
why, but neither who nor from where. No filter tells more: see `audit_query`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from audit.models import Batch, Event

STAFF: Final = "Platform staff"
SOFTWARE: Final = "PulseCloud"
NOBODY: Final = "Not signed in"
TOKEN: Final = "API token "  # noqa: S105  what stands before its name
COLUMNS: Final = (
    "id", "timestamp", "event", "user", "ip", "path", "success", "details", "actor", "subject",
    "reason", "before", "after", "requestId", "seal", "signature",
)  # fmt: skip


def user_of(event: Event) -> str:
    """Who it was, for the organisation's eyes."""
    match event.actor_kind:
        case "staff":
            return STAFF
        case "system":
            return SOFTWARE
        case "anonymous":
            return NOBODY
        case "token":
            return f"{TOKEN}{event.actor_label}"
    return event.actor_label or event.actor_id


def from_where(event: Event) -> tuple[str, str]:
    """(address, path) of the request; empty for what staff and software did."""
    if event.actor_kind in ("staff", "system"):
        return "", ""
    return event.address or "", event.path


def time_text(moment: datetime) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(event: Event, seal: Batch | None) -> dict[str, Any]:
    """The contract's fields, then ours. `signature` and `seal` are there once it is sealed."""
    address, path = from_where(event)
    shown: dict[str, Any] = {
        "id": str(event.uuid),
        "timestamp": time_text(event.at),
        "event": event.action,
        "user": user_of(event),
        "ip": address,
        "path": path,
        "success": event.success,
        "details": ": ".join(text for text in (event.subject, event.reason) if text),
        "actor": event.actor_kind,
        "subject": event.subject,
        "reason": event.reason,
        "before": event.before,
        "after": event.after,
        "requestId": event.request_id,
        "seal": None if seal is None else seal.number,
    }
    if seal is not None:
        shown["signature"] = f"ed25519:{seal.key_id}:{seal.signature}"
    return shown
