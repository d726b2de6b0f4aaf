"""Makes conditions true: the rows that show them, as the product writes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit import sealing, trail
from audit.actors import Actor
from tenants import budgets, limits
from tenants.models import (
    Attestation,
    DeletionReceipt,
    ReadinessKind,
    ReadinessRecord,
    Rollout,
    Stage,
)
from tenants.rollout import attestations
from tests.factories import make_organisation

ACTOR = Actor.system("test")
DRILLS = (ReadinessKind.LIFECYCLE_DRILL, ReadinessKind.RBAC_DRILL)


def stage(name: str = Stage.PRIVATE_BETA, **fields: Any) -> Rollout:
    """The policy, with nothing in it that an earlier test of this database left."""
    Rollout.objects.filter(pk=1).delete()
    return Rollout.objects.create(pk=1, stage=name, **fields)


def record(kind: str = ReadinessKind.PROVE, **fields: Any) -> ReadinessRecord:
    defaults: dict[str, Any] = {
        "started_at": timezone.now(),
        "seconds": 3.0,
        "passed": True,
        "steps": [{"name": "suspended", "status": "passed"}],
    }
    return ReadinessRecord.objects.create(kind=kind, **{**defaults, **fields})


def private_beta_open() -> None:
    record()
    for kind in DRILLS:
        record(kind)
    vouch("rbac_isolation")


def public_beta_open() -> None:
    """For a stage that was made before; hosted mode has been on for three days."""
    private_beta_open()
    Rollout.objects.filter(pk=1).update(hosted_since=timezone.now() - timedelta(days=3))
    vouch("watched")
    organisation = make_organisation()
    DeletionReceipt.objects.create(
        organisation=organisation, label=organisation.label, signature="x", kid="x"
    )
    busy = make_organisation("active")
    limits.allow(budgets.ORGANISATION, str(busy.pk), limit=10, seconds=60)


def ga_open() -> None:
    """All but what this release does not have."""
    public_beta_open()
    for name in ("ga_load", "security_audit"):
        vouch(name)
    for action in ("password_reset_completed", "sso_oidc_role_assignment"):
        trail.record(action=action, actor=ACTOR)
    sealing.seal()


def vouch(condition: str) -> Attestation:
    return attestations.attest(condition=condition, actor=ACTOR, reason="seen in a test")
