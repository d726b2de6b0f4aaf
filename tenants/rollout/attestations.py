"""Staff vouches, for a time, for what the software cannot see."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants.models import Attestation, User
from tenants.rollout import stages
from tenants.rollout.conditions import BY_NAME, Rule
from tenants.rollout.stages import RolloutRefused


def attest(
    *,
    condition: str,
    actor: Actor,
    reason: str,
    days: int | None = None,
    by: User | None = None,
) -> Attestation:
    """Vouches for a condition for `days`, at most and by default as long as its rule allows.

    Raises RolloutRefused `unknown_condition`, `not_attestable`, `reason_needed`, `invalid_days`.
    """
    rule = attestable(condition)
    if not reason.strip():
        raise RolloutRefused("reason_needed", "Say what was seen, where and by whom.")
    most = longest(rule)
    if days is not None and not 1 <= days <= most:
        raise RolloutRefused(
            "invalid_days", f"{rule.name} can be vouched for, for 1 to {most} days."
        )
    with transaction.atomic():
        before = living(rule.name).count()
        made = Attestation.objects.create(
            condition=rule.name,
            by=by,
            reason=reason,
            expires_at=timezone.now() + timedelta(days=days or most),
        )
        trail.record(
            action="rollout_attested",
            actor=actor,
            subject=rule.name,
            reason=reason,
            before={"count": before},
            after={"count": before + 1, "expires_at": made.expires_at, "days": days or most},
        )
    return made


def withdraw(*, condition: str, actor: Actor, reason: str = "") -> int:
    """Ends every living attestation of a condition; says how many.

    Raises RolloutRefused `unknown_condition`, `not_attested`.
    """
    rule = attestable(condition)
    with transaction.atomic():
        stages.locked()  # who raises the stage looks under this lock, and must not count on it
        ended = living(rule.name).update(withdrawn_at=timezone.now())
        if not ended:
            raise RolloutRefused("not_attested", f"Nobody vouches for {rule.name}.")
        trail.record(
            action="rollout_attestation_withdrawn",
            actor=actor,
            subject=rule.name,
            reason=reason,
            before={"count": ended},
            after={"count": 0},
        )
    return ended


def living(condition: str) -> QuerySet[Attestation]:
    """What counts now."""
    return Attestation.objects.filter(
        condition=condition, withdrawn_at=None, expires_at__gt=timezone.now()
    )


def attestable(condition: str) -> Rule:
    """The rule of a condition that staff may vouch for. Raises RolloutRefused."""
    rule = BY_NAME.get(condition)
    if rule is None:
        names = ", ".join(BY_NAME)
        raise RolloutRefused("unknown_condition", f"There are these conditions: {names}.")
    if rule.good_for is None:
        raise RolloutRefused(
            "not_attestable", f"Nobody can vouch for {rule.name}: the software looks itself."
        )
    return rule


def longest(rule: Rule) -> int:
    """Days."""
    return rule.good_for.days if rule.good_for else 0
