"""The rollout stage: dev, private beta, public beta, general availability (hosted-contract section 26).

A stage is raised one step at a time, and only while all its conditions are met
(`tenants.rollout.conditions`). Lowering is always allowed, by any number of steps, at once. Every
verb locks the one row, so of two people who press opposite buttons one is first and the other is
told what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants.models import Rollout, Stage, StageChange, User
from tenants.rollout import conditions, evidence
from tenants.rollout.conditions import ORDER, Condition
from tenants.rollout.evidence import Look

CAP_FIELDS: Final = {
    Stage.PRIVATE_BETA: "private_beta_cap",
    Stage.PUBLIC_BETA: "public_beta_cap",
    Stage.GA: "ga_cap",
}
MOST: Final = 1_000_000


class RolloutRefused(Exception):
    """What was asked for is not possible now. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConditionsUnmet(RolloutRefused):
    """The stage stays shut; `missing` says what opens it."""

    def __init__(self, to: Stage, missing: Sequence[Condition]) -> None:
        names = ", ".join(each.name for each in missing)
        super().__init__("conditions_unmet", f"{words(to).capitalize()} is not open yet: {names}.")
        self.missing = missing


def row() -> Rollout:
    """The policy as it is; without a stored one the defaults, a private beta."""
    return Rollout.objects.filter(pk=1).first() or Rollout()


def current() -> Stage:
    return Stage(row().stage)


def locked() -> Rollout:
    """The policy, locked until the transaction ends."""
    Rollout.objects.get_or_create(pk=1)
    return Rollout.objects.select_for_update().get(pk=1)


def number(stage: str) -> int:
    """0 for dev to 3 for general availability."""
    return ORDER.index(Stage(stage))


def named(text: str) -> Stage:
    """A stage by its name, as people type it. Raises RolloutRefused `unknown_stage`."""
    try:
        return Stage(text.strip().lower().replace("-", "_").replace(" ", "_"))
    except ValueError:
        known = ", ".join(ORDER)
        raise RolloutRefused("unknown_stage", f"There are these stages: {known}.") from None


def words(stage: str) -> str:
    """As it stands in a sentence."""
    return Stage(stage).label.lower()


def after(stage: Stage) -> Stage | None:
    """The next stage, or None after the last."""
    return ORDER[number(stage) + 1] if number(stage) + 1 < len(ORDER) else None


def missing(to: Stage) -> list[Condition]:
    """What keeps a stage shut. Raises RolloutRefused `already_there`, `not_next`."""
    _check_next(current(), to)
    return [each for each in conditions.evaluate(to) if not each.met]


def raise_stage(*, to: Stage, actor: Actor, reason: str, by: User | None = None) -> StageChange:
    """Opens the next stage. What the conditions showed is kept with the change.

    Raises RolloutRefused `reason_needed`, `already_there`, `not_next`, `changed_meanwhile`, and
    ConditionsUnmet.
    """
    _need(reason)
    before, _ = Rollout.objects.get_or_create(pk=1)
    _check_next(Stage(before.stage), to)
    # Once before the lock, because one of them asks Prometheus and sign-ups wait for the lock; and
    # once under it, without Prometheus, for what was withdrawn or failed meanwhile.
    look = Look()
    try:
        _all_met(to, look)
        with transaction.atomic():
            rollout = locked()
            _check_next(Stage(rollout.stage), to)
            if rollout.stage_since != before.stage_since:
                raise RolloutRefused(
                    "changed_meanwhile", "Somebody changed the stage meanwhile. Look again."
                )
            found = _all_met(to, Look({evidence.watched: look.at(evidence.watched)}))
            return _change(rollout, to, "rollout_raised", actor, reason, by, found)
    except ConditionsUnmet as unmet:
        trail.record(
            action="rollout_raised",
            actor=actor,
            success=False,
            subject=to,
            reason=reason,
            before={"stage": before.stage},
            after={"missing": [each.name for each in unmet.missing]},
        )
        raise


def lower_stage(
    *, to: Stage, actor: Actor, reason: str = "", by: User | None = None
) -> StageChange:
    """Goes back to an earlier stage at once. Whoever is there stays; who comes needs what it asks.

    Raises RolloutRefused `already_there`, `not_lower`.
    """
    with transaction.atomic():
        rollout = locked()
        stage = Stage(rollout.stage)
        if to == stage:
            raise RolloutRefused("already_there", f"The stage is {words(stage)} already.")
        if number(to) > number(stage):
            raise RolloutRefused(
                "not_lower", f"{words(to).capitalize()} is not below {words(stage)}."
            )
        return _change(rollout, to, "rollout_lowered", actor, reason, by, [])


def set_cap(*, stage: Stage, cap: int | None, actor: Actor, reason: str) -> Rollout:
    """How many organisations there may be in a stage; None for no cap. A cap below what is there
    sends nobody away: it lets nobody in.

    Raises RolloutRefused `reason_needed`, `no_cap`, `invalid_cap`.
    """
    _need(reason)
    field = CAP_FIELDS.get(stage)
    if field is None:
        raise RolloutRefused("no_cap", "The stage dev has no cap: staff invite whoever is in it.")
    if cap is not None and not 0 <= cap <= MOST:
        raise RolloutRefused("invalid_cap", f"A cap lies between 0 and {MOST:,}.")
    with transaction.atomic():
        rollout = locked()
        before = getattr(rollout, field)
        setattr(rollout, field, cap)
        rollout.save()
        trail.record(
            action="rollout_cap_changed",
            actor=actor,
            subject=stage,
            reason=reason,
            before={"cap": before},
            after={"cap": cap},
        )
    return rollout


def cap_of(rollout: Rollout, stage: str) -> int | None:
    field = CAP_FIELDS.get(Stage(stage))
    return getattr(rollout, field) if field else None


def observe_hosted_mode() -> None:
    """Notes since when hosted mode is on, as the worker sees it; forgets it while it is off."""
    known = Rollout.objects.filter(pk=1).exclude(hosted_since=None)
    if not settings.HOSTED_MODE:
        known.update(hosted_since=None)
    elif not known.exists():
        Rollout.objects.get_or_create(pk=1)
        Rollout.objects.filter(pk=1, hosted_since=None).update(hosted_since=timezone.now())


def _check_next(stage: Stage, to: Stage) -> None:
    if to == stage:
        raise RolloutRefused("already_there", f"The stage is {words(stage)} already.")
    if to != after(stage):
        following = after(stage)
        way = f"the next one is {words(following)}" if following else "it is the last"
        raise RolloutRefused("not_next", f"The stage is {words(stage)}; {way}.")


def _all_met(to: Stage, look: Look) -> list[Condition]:
    """All conditions of a stage. Raises ConditionsUnmet."""
    found = conditions.evaluate(to, look)
    if unmet := [each for each in found if not each.met]:
        raise ConditionsUnmet(to, unmet)
    return found


def _need(reason: str) -> None:
    if not reason.strip():
        raise RolloutRefused("reason_needed", "Give a reason; it stays in the audit trail.")


def _change(
    rollout: Rollout,
    to: Stage,
    action: str,
    actor: Actor,
    reason: str,
    by: User | None,
    found: Sequence[Condition],
) -> StageChange:
    before, rollout.stage, rollout.stage_since = Stage(rollout.stage), to, timezone.now()
    rollout.save()
    change = StageChange.objects.create(
        from_stage=before,
        to_stage=to,
        at=rollout.stage_since,
        by=by,
        reason=reason,
        evidence=[each.as_json() for each in found],
    )
    trail.record(
        action=action,
        actor=actor,
        subject=to,
        reason=reason,
        before={"stage": before},
        after={"stage": to, "conditions": [each.name for each in found]},
    )
    return change
