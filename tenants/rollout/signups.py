"""Who may come now: the stop button, the cap of the stage, and who needs an invitation.

Asked twice. Before a sign-up does anything, so that everybody gets the same refusal, whoever they
are; and again, under the policy's lock, when a mailbox is proved, so that the last place cannot be
raced and a stop or a lower stage counts from its commit on. Canaries pass both: a proof must be
able to run while nobody else may come.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants.models import Organisation, Rollout, Stage, State
from tenants.rollout import stages
from tenants.rollout.stages import RolloutRefused

INVITE_ONLY = (Stage.DEV, Stage.PRIVATE_BETA)
# A request holds no place: it may never be proved.
NOT_THERE = (State.REQUESTED, State.EXPIRED, State.DELETED)
RETRY_AFTER = 3600  # seconds


class SignupsClosed(Exception):
    """Nobody can sign up now; the text is for whoever tried. `code` is stable:
    `signups_stopped`, `stage_full`, `invitation_needed`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def present() -> int:
    """Organisations that a cap counts: proved, not deleted, no canaries."""
    return Organisation.objects.filter(canary=False).exclude(state__in=NOT_THERE).count()


def refusal() -> SignupsClosed | None:
    """Why nobody can sign up now, or None."""
    return _refusal(stages.row())


def invitation_needed() -> bool:
    return stages.current() in INVITE_ONLY


def admit(*, invited: bool) -> None:
    """Call it in the transaction that proves a mailbox; others wait until that has ended.

    Raises SignupsClosed.
    """
    rollout = stages.locked()
    if closed := _refusal(rollout):
        raise closed
    if not invited and rollout.stage in INVITE_ONLY:
        raise SignupsClosed(
            "invitation_needed", "PulseCloud takes invited organisations only at the moment."
        )


def stop(*, actor: Actor, reason: str = "") -> Rollout:
    """Nobody signs up or proves a mailbox from now on. Who is there, or is being set up, goes on.

    Raises RolloutRefused `already_stopped`.
    """
    with transaction.atomic():
        rollout = stages.locked()
        if rollout.signups_stopped_at is not None:
            raise RolloutRefused("already_stopped", "Sign-ups are stopped already.")
        rollout.signups_stopped_at, rollout.signups_stop_reason = timezone.now(), reason
        rollout.save()
        trail.record(
            action="signups_stopped",
            actor=actor,
            subject=rollout.stage,
            reason=reason,
            before={"signups": "open"},
            after={"signups": "stopped"},
        )
    return rollout


def start(*, actor: Actor, reason: str) -> Rollout:
    """Undoes `stop`. Raises RolloutRefused `reason_needed`, `not_stopped`."""
    if not reason.strip():
        raise RolloutRefused("reason_needed", "Give a reason; it stays in the audit trail.")
    with transaction.atomic():
        rollout = stages.locked()
        if rollout.signups_stopped_at is None:
            raise RolloutRefused("not_stopped", "Sign-ups are not stopped.")
        before = {
            "signups": "stopped",
            "since": rollout.signups_stopped_at,
            "reason": rollout.signups_stop_reason,
        }
        rollout.signups_stopped_at, rollout.signups_stop_reason = None, ""
        rollout.save()
        trail.record(
            action="signups_started",
            actor=actor,
            subject=rollout.stage,
            reason=reason,
            before=before,
            after={"signups": "open"},
        )
    return rollout


def _refusal(rollout: Rollout) -> SignupsClosed | None:
    if rollout.signups_stopped_at is not None:
        return SignupsClosed(
            "signups_stopped", "Sign-ups are paused at the moment. Please try again later."
        )
    cap = stages.cap_of(rollout, rollout.stage)
    if cap is not None and present() >= cap:
        return SignupsClosed(
            "stage_full", "Every place is taken at the moment. Please try again later."
        )
    return None
