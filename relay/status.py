"""Whether an organisation's phones can reach it now, as its people and its phones read it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.utils import timezone

from relay.models import Registration, RelayStatus
from tenants.models import Organisation, Runtime, State

STALE_AFTER = timedelta(seconds=45)  # three missed heartbeats of the runtime


def status(organisation: Organisation) -> dict[str, Any]:
    """The body of GET /api/settings/relay/status (relay-protocol section 20): `seen` as JSON, where
    empty texts are left out and times are ISO 8601 or null."""
    facts = seen(organisation)
    for name in ("instance_id", "last_error", "reconnect_in"):
        if not facts[name]:
            del facts[name]
    for name in ("connected_at", "credential_expires_at"):
        facts[name] = facts[name].isoformat() if facts[name] else None
    return facts


def seen(organisation: Organisation) -> dict[str, Any]:
    """What is known of the connection now.

    `connected`, `instance_id`, `active_channels`, `last_error`, `reconnect_in` (such as `5m0s`) are
    the contract's. Ours: `runtime` (builtin, external), `credential` (lease, licence),
    `credential_expires_at`, `connected_at` (datetimes or None) and `acknowledged` (the relay has
    confirmed the instance id at least once).
    """
    registration = Registration.objects.filter(organisation=organisation).first()
    said = RelayStatus.objects.filter(organisation=organisation).first()
    now = timezone.now()
    builtin = said if organisation.runtime == Runtime.BUILTIN else None
    fresh = builtin is not None and now - builtin.seen_at < STALE_AFTER
    connected = bool(builtin and builtin.connected and fresh and organisation.state == State.ACTIVE)
    waits = (
        (builtin.reconnect_at - now).total_seconds()
        if builtin and builtin.reconnect_at and fresh and not connected
        else 0.0
    )
    return {
        "connected": connected,
        "instance_id": registration.instance_id if registration else "",
        "active_channels": builtin.active_channels if builtin and connected else 0,
        "last_error": "" if connected else _last_error(organisation, registration, said, fresh),
        "reconnect_in": duration(waits) if waits > 0 else "",
        "runtime": organisation.runtime,
        "acknowledged": bool(builtin and builtin.connected_at),
        "credential": builtin.credential if builtin else "",
        "credential_expires_at": builtin.credential_expires_at if builtin else None,
        "connected_at": builtin.connected_at if builtin and connected else None,
    }


def duration(seconds: float) -> str:
    """Go's duration text, to whole seconds: `45s`, `5m0s`, `1h0m0s`."""
    whole = max(0, math.ceil(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def _last_error(
    organisation: Organisation,
    registration: Registration | None,
    said: RelayStatus | None,
    fresh: bool,
) -> str:
    if organisation.runtime != Runtime.BUILTIN:
        return "an external runtime serves this organisation"
    if registration is None:
        return "the organisation has no relay registration"
    if said is None or not fresh:
        return "the runtime has not reported lately"
    return said.last_error
