"""Counters of this room, where their call sites can reach them (hosted-contract section 10.7).

Counted and added up as those of `tenants.metrics` are. Call these when it is certain:
`transaction.on_commit`.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

import tenants.metrics  # noqa: F401  makes the directory that counters are kept in

ACTIONS: Final = ("create", "update", "delete", "assign", "deprovision")

registry = CollectorRegistry()

_mutations = Counter(
    "pulse_rbac_role_mutations_total",
    "Changes of roles and of who has them that were saved.",
    ["action"],
    registry=registry,
)
_checks = Counter(
    "pulse_rbac_integrity_checks_total",
    "Integrity checks of an organisation's roles, by what they found.",
    ["result"],
    registry=registry,
)


def mutated(action: str) -> None:
    """`action` is one of ACTIONS."""
    _mutations.labels(action=action).inc()


def checked(healthy: bool) -> None:
    _checks.labels(result="healthy" if healthy else "unhealthy").inc()


# Present from the first scrape, so that a rate over them is 0 instead of absent.
for _action in ACTIONS:
    _mutations.labels(action=_action)
for _result in ("healthy", "unhealthy"):
    _checks.labels(result=_result)
