"""The hosted counters, where their call sites can reach them (hosted-contract section 23).

Counted in files shared by web, worker and runtime; `pulsecloud.metrics` adds them up at scrape,
with gauges that it reads from the database. No label ever names an organisation: labels take
values from the short lists below, and a value outside them is folded as the contract says.

Call these after the transaction committed (`transaction.on_commit`): what was rolled back must
not have been counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from django.conf import settings
from django.http.response import HttpResponseBase

# prometheus_client opens its file in this directory as soon as a counter is made.
Path(settings.METRICS_DIR).mkdir(parents=True, exist_ok=True)

from prometheus_client import CollectorRegistry, Counter, Histogram  # noqa: E402

STATUSES: Final = ("active", "suspended", "pending_deletion")
LIMITS: Final = ("organisation", "credential", "address")
AREAS: Final = ("hosted", "api", "pages", "admin")
CODES: Final = ("2xx", "3xx", "4xx", "5xx")
REAPED: Final = ("deleted", "failed", "dry_run")
VERBS: Final = ("suspend", "unsuspend", "soft_delete", "restore")

Answer = TypeVar("Answer", bound=HttpResponseBase)

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
# The buckets hold each objective's threshold (docs/runbook.md section 5): 60 s, 1 s, 0.5 s.
_provisioning_seconds = Histogram(
    "pulse_hosted_provisioning_seconds",
    "From the proved mailbox to the active organisation.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
    registry=registry,
)
_proof_seconds = Histogram(
    "pulse_hosted_proof_seconds",
    "How long proofs took that passed.",
    buckets=(1, 2.5, 5, 10, 20, 30, 60, 120, 300),
    registry=registry,
)
_lifecycle_seconds = Histogram(
    "pulse_hosted_lifecycle_seconds",
    "How long life-cycle verbs took that were saved, to the commit.",
    ["verb"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
    registry=registry,
)
_http_request_seconds = Histogram(
    "pulse_hosted_http_request_seconds",
    "Requests to web until their headers went out, by area and class of status.",
    ["area", "code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=registry,
)

_reaped = Counter(
    "pulse_hosted_reaped_total",
    "Organisations whose deletion was carried out, failed, or was only shown (dry run).",
    ["result"],
    registry=registry,
)
_backups = Counter(
    "pulse_hosted_backups_total",
    "Backups of single organisations, by result.",
    ["result"],
    registry=registry,
)
_restores = Counter(
    "pulse_hosted_restores_total",
    "Organisations put back from a backup, by result.",
    ["result"],
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


def provisioning_took(begun: datetime | None, ended: datetime) -> None:
    """An organisation became active; `begun` is when its mailbox was proved, if it ever was."""
    if begun is not None:
        _provisioning_seconds.observe(max(0.0, (ended - begun).total_seconds()))


def proof_took(seconds: float) -> None:
    """A proof passed. One that failed tells nothing about how long the way takes."""
    _proof_seconds.observe(seconds)


@contextmanager
def timed(verb: str) -> Iterator[None]:
    """Around a life-cycle verb, or above it as a decorator; `verb` is one of VERBS.

    Outside its transaction, so that the commit and what follows it count. A refusal is not counted:
    it says nothing about how long the work takes.
    """
    begun = time.monotonic()
    yield
    _lifecycle_seconds.labels(verb=verb).observe(time.monotonic() - begun)


def answered(area: str, status: int, seconds: float) -> None:
    """`web` answered a request; `area` is one of AREAS, `status` the HTTP code."""
    code = f"{status // 100}xx"
    _http_request_seconds.labels(area=area, code=code if code in CODES else "5xx").observe(seconds)


def decided(response: Answer) -> Answer:
    """Marks a 503 that somebody decided: sign-ups are stopped, the organisation is suspended. It
    must not use up the budget of what fails, least of all in the night in which it is needed."""
    response.decided = True  # type: ignore[attr-defined]
    return response


def reaped(result: str) -> None:
    """A reaper came to an end with an organisation: one of REAPED."""
    _reaped.labels(result=result).inc()


def backed_up(ok: bool) -> None:
    """A backup was written and read back, or could not be."""
    _backups.labels(result="success" if ok else "failure").inc()


def put_back(ok: bool) -> None:
    """An organisation was put back from a backup, or the attempt ended without a change."""
    _restores.labels(result="success" if ok else "failure").inc()


def _status(name: str) -> str:
    """The contract's word for a state: purging counts as pending_deletion, the rest as active."""
    if name in ("purging", "deleted"):
        return "pending_deletion"
    return name if name in STATUSES else "active"


# Present from the first scrape, so that a rate over them is 0 instead of absent.
for _outcome in ("success", "failure"):
    _provisions.labels(status=_outcome)
    _backups.labels(result=_outcome)
    _restores.labels(result=_outcome)
for _result in REAPED:
    _reaped.labels(result=_result)
for _limit in LIMITS:
    _rate_limited.labels(limit=_limit)
for _verb in VERBS:
    _lifecycle_seconds.labels(verb=_verb)
for _area in AREAS:
    for _code in CODES:
        _http_request_seconds.labels(area=_area, code=_code)
for _before in STATUSES:
    for _after in STATUSES:
        if _before != _after:
            _transitions.labels(from_status=_before, to_status=_after)
