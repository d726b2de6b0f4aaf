"""Names of the PostgreSQL notification channels that say "look again" (payloads are hints only)."""

from __future__ import annotations

RELAY = "pulsecloud_relay"  # payload: instance id; empty means look at everything
RUNTIME = "pulsecloud_runtime"  # payload: organisation UUID; empty means look at everything
