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
    """The body of GET /api/settings/relay/status (relay-protocol section 20).

    `connected`, `instance_id`, `active_channels`, `last_error`, `reconnect_in` (such as `5m0s`) are
    the contract's; empty ones of the last two are left out. Ours: `runtime` (builtin, external),
    `credential` (lease, licence), `credential_expires_at`, `connected_at` (ISO 8601 or null) and
    `acknowledged` (the relay has confirmed the instance id at least once).
    """
    registration = Registration.objects.filter(organisation=organisation).first()
    said = RelayStatus.objects.filter(organisation=organisation).first()
    now = timezone.now()
    builtin = organisation.runtime == Runtime.BUILTIN
    fresh = said is not None and now - said.seen_at < STALE_AFTER
    connected = bool(
        said and said.connected and fresh and builtin and organisation.state == State.ACTIVE
    )
    body: dict[str, Any] = {
        "connected": connected,
        "active_channels": said.active_channels if said and connected else 0,
        "runtime": organisation.runtime,
        "acknowledged": bool(builtin and said and said.connected_at),
        "credential": said.credential if said and builtin else "",
        "credential_expires_at": _iso(said.credential_expires_at) if said and builtin else None,
        "connected_at": _iso(said.connected_at) if said and connected else None,
    }
    if registration is not None:
        body["instance_id"] = registration.instance_id
    error = _last_error(organisation, registration, said, fresh=fresh)
    if error and not connected:
        body["last_error"] = error
    if (
        said
        and builtin
        and fresh
        and not connected
        and said.reconnect_at
        and said.reconnect_at > now
    ):
        body["reconnect_in"] = duration((said.reconnect_at - now).total_seconds())
    return body


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
    *,
    fresh: bool,
) -> str:
    if organisation.runtime != Runtime.BUILTIN:
        return "an external runtime serves this organisation"
    if registration is None:
        return "the organisation has no relay registration"
    if said is None or not fresh:
        return "the runtime has not reported lately"
    return said.last_error


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
