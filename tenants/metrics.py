"""The hosted counters, where their call sites can reach them (hosted-contract section 23).

Counted in files shared by web, worker and runtime; `pulsecloud.metrics` adds them up at scrape,
with gauges that it reads from the database. No label ever names an organisation: labels take
values from the short lists below, and a value outside them is folded as the contract says.

Call these after the transaction committed (`transaction.on_commit`): what was rolled back must
not have been counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.conf import settings

# prometheus_client opens its file in this directory as soon as a counter is made.
Path(settings.METRICS_DIR).mkdir(parents=True, exist_ok=True)

from prometheus_client import CollectorRegistry, Counter  # noqa: E402

STATUSES: Final = ("active", "suspended", "pending_deletion")
LIMITS: Final = ("organisation", "credential", "address")

# A registry of its own: library defaults (process_*, python_info) are wrong across processes.
registry = CollectorRegistry()

_signups = Counter(
    "pulse_hosted_signups_total",
    "Sign-ups that did their work.",
    registry=registry,
)
_provisions = Counter(
    "pulse_hosted_provisions_total",
    "Provisioning attempts by outcome; every attempt counts.",
    ["status"],
    registry=registry,
)
_transitions = Counter(
    "pulse_hosted_lifecycle_transitions_total",
    "Life-cycle transitions that were saved.",
    ["from_status", "to_status"],
    registry=registry,
)
_rate_limited = Counter(
    "pulse_hosted_rate_limited_total",
    "Requests refused with 429, by the limit that refused them.",
    ["limit"],
    registry=registry,
)


def signed_up() -> None:
    """A sign-up was accepted and did its work (not: refused, limited or repeated)."""
    _signups.inc()


def provisioned(ok: bool) -> None:
    """One provisioning attempt ended, well or not (H3: failures count wherever they arise)."""
    _provisions.labels(status="success" if ok else "failure").inc()


def transitioned(frm: str, to: str) -> None:
    """A life-cycle verb was saved. Names are contract statuses; our own states are folded."""
    _transitions.labels(from_status=_status(frm), to_status=_status(to)).inc()


def rate_limited(limit: str) -> None:
    """A request was refused because this limit was reached: one of LIMITS."""
    _rate_limited.labels(limit=limit).inc()


def _status(name: str) -> str:
    """The contract's word for a state: purging counts as pending_deletion, the rest as active."""
    if name in ("purging", "deleted"):
        return "pending_deletion"
    return name if name in STATUSES else "active"


# Present from the first scrape, so that a rate over them is 0 instead of absent.
for _outcome in ("success", "failure"):
    _provisions.labels(status=_outcome)
for _limit in LIMITS:
    _rate_limited.labels(limit=_limit)
