"""Writes the trail. A verb calls `record` inside the transaction of what it did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from audit import origin
from audit.actors import Actor
from audit.models import Event

REDACTED = "[redacted]"

# Keys whose values never reach the trail, and the endings that only name or date such a thing.
_SECRET = re.compile(
    r"secret|passw|token|private|api_?key|authori[sz]ation|cookie|credential|sealed|signature"
    r"|lease$|licence$|license$",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"(_|\b)(id|ids|at|count|name|prefix|life)$", re.IGNORECASE)


def record(
    *,
    action: str,
    actor: Actor,
    organisation: UUID | None = None,
    subject: str = "",
    success: bool = True,
    path: str = "",
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    request_id: str = "",
    address: str | None = None,
) -> Event:
    """One row: `actor` did `action` to `subject`. `before` and `after` are plain mappings.

    `success` is False for what was tried and refused. Path, request id and address are those of the
    request that is being answered, if any, unless told otherwise. Values under keys that look
    secret are replaced; values JSON does not know become text.
    """
    here = origin.current()
    return Event.objects.create(
        action=action,
        actor_kind=actor.kind,
        actor_id=actor.id[:128],
        actor_label=_text(actor.label)[:320],
        organisation=organisation,
        subject=_text(subject)[:200],
        success=success,
        path=_text(path or here.path())[:200],
        reason=_text(reason),
        before=None if before is None else redact(before),
        after=None if after is None else redact(after),
        request_id=(request_id or origin.request_id())[:64],
        # PostgreSQL's inet has no zones, as in fe80::1%eth0.
        address=(address or here.address).partition("%")[0] or None,
    )


def redact(value: Any) -> Any:
    """A copy that may be written down: no secrets, only JSON types."""
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if looks_secret(str(key)) and item else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(str(value))


def looks_secret(key: str) -> bool:
    """True for `auth_token`, `instance_secret`; false for `token_id`, `password_changed_at`."""
    return bool(_SECRET.search(key)) and not _HARMLESS.search(key)


def _text(value: str) -> str:
    """What PostgreSQL can hold: no NUL, no lone surrogates."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
