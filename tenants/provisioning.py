"""Provisioning: runs the steps of settings.PROVISIONING_STEPS for an organisation, once each.

    claim    attempts + 1, or stop: not (or no longer) provisioning, somebody else is at it
    do       per step one transaction: row lock, the step's work, the record that it ran
    retry    a step that raised runs again after a pause that doubles, five attempts in all
    undo     after the last attempt the steps are undone in reverse, then the state is `failed`

A worker may be killed anywhere. What it had not committed is gone, what it had committed is
recorded, and its advisory lock went with its connection: the sweep sees an organisation that
provisions while nobody works on it, and has the job run again.
"""

from __future__ import annotations

import time
from typing import Protocol
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.module_loading import import_string

from audit import trail
from audit.actors import Actor
from tenants import faults, jobs, locks, metrics
from tenants.models import Organisation, State, StepRecord, StepStatus
from tenants.states import TransitionRefused, locked, move

log = structlog.get_logger(__name__)

_WORKER = Actor.system("provisioning")


class Step(Protocol):
    """One step; both methods run in a transaction with the organisation locked, and twice if need
    be. `undo` takes away what `do` made, and nothing else."""

    name: str

    def do(self, organisation: Organisation) -> None: ...

    def undo(self, organisation: Organisation) -> None: ...


class StepFailed(Exception):
    """A step raised, and another attempt is due in `retry_in` seconds."""

    def __init__(self, step: str, error: BaseException, retry_in: float) -> None:
        super().__init__(f"{step}: {describe(error)}")
        self.retry_in = retry_in


class _Superseded(Exception):
    """The organisation left `provisioning` while a step was about to run."""


def steps() -> list[Step]:
    return [import_string(path)() for path in settings.PROVISIONING_STEPS]


def start(organisation: Organisation) -> bool:
    """Has the worker provision it once the caller's transaction commits; False if it will anyway."""
    return jobs.defer(
        "tenants.tasks.provision",
        queueing_lock=f"provision:{organisation.pk}",
        priority=10,
        organisation=str(organisation.pk),
    )


def run(organisation_id: UUID) -> None:
    """One attempt. Raises StepFailed when another is due; every other outcome is a state."""
    if not settings.HOSTED_MODE:
        return
    with locks.alone(_lock(organisation_id)) as mine:
        if not mine:
            return
        claimed = Organisation.objects.filter(pk=organisation_id, state=State.PROVISIONING).update(
            attempts=F("attempts") + 1
        )
        if not claimed:
            return
        organisation = Organisation.objects.get(pk=organisation_id)
        if not organisation.failure and organisation.attempts > settings.PROVISIONING_ATTEMPTS:
            # Nobody wrote down why: the attempts ended with their worker.
            _note_failure(organisation, "the worker died in every attempt")
        if organisation.failure:
            _undo(organisation)
            return
        try:
            for position, step in enumerate(steps()):
                _do(organisation, position, step)
        except _Superseded:
            return
    log.info("organisation provisioned", organisation=str(organisation_id))
    metrics.provisioned(True)


def retry(*, organisation: Organisation, actor: Actor, reason: str = "") -> Organisation:
    """Has a failed organisation provisioned again, from the first step.

    Raises TransitionRefused `invalid_transition` unless it is failed.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state != State.FAILED:
            raise TransitionRefused("invalid_transition", "Only a failed organisation is retried.")
        move(organisation, State.PROVISIONING)
        organisation.attempts, organisation.failure = 0, ""
        organisation.save()
        organisation.steps.all().delete()
        trail.record(
            action="org_provisioning_retried",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
        )
        start(organisation)
    return organisation


def sweep() -> int:
    """Has every organisation that provisions while nobody works on it taken up again.

    A retry that waits for its time is left alone (its queueing lock is taken). Returns how many.
    """
    if not settings.HOSTED_MODE:
        return 0
    taken = 0
    for organisation in Organisation.objects.filter(state=State.PROVISIONING):
        with transaction.atomic():
            taken += locks.claim(_lock(organisation.pk)) and start(organisation)
    return taken


def wait_until_settled(organisation: Organisation, *, seconds: float) -> bool:
    """Waits for a worker to end the provisioning, well or not; False when the time is over."""
    deadline = time.monotonic() + seconds
    unsettled = Organisation.objects.filter(pk=organisation.pk, state=State.PROVISIONING)
    while unsettled.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def describe(error: BaseException) -> str:
    """An error in one short line for staff."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _lock(organisation_id: UUID) -> str:
    return f"provision:{organisation_id}"


def _do(organisation: Organisation, position: int, step: Step) -> None:
    """Raises StepFailed or _Superseded."""
    begun = time.monotonic()
    try:
        with transaction.atomic():
            current = locked(organisation)
            if _status(current, step) == StepStatus.DONE:
                return
            if current.state != State.PROVISIONING:
                raise _Superseded
            step.do(current)
            faults.point(f"provision.{step.name}.before_record")
            _record(current, position, step, StepStatus.DONE, time.monotonic() - begun)
            faults.point(f"provision.{step.name}.before_commit")
        faults.point(f"provision.{step.name}.after_commit")
    except _Superseded:
        raise
    except Exception as error:
        _failed(organisation, position, step, error, time.monotonic() - begun)


def _failed(
    organisation: Organisation, position: int, step: Step, error: Exception, seconds: float
) -> None:
    """Records a failed attempt; raises StepFailed for another one, or undoes everything."""
    metrics.provisioned(False)
    log.warning(
        "provisioning step failed",
        organisation=str(organisation.pk),
        step=step.name,
        attempt=organisation.attempts,
        exc_info=error,
    )
    last = organisation.attempts >= settings.PROVISIONING_ATTEMPTS
    with transaction.atomic():
        current = locked(organisation)
        if current.state != State.PROVISIONING:
            raise _Superseded
        _record(current, position, step, StepStatus.FAILED, seconds, describe(error))
        if last:
            _note_failure(current, f"{step.name}: {describe(error)}")
    if not last:
        pause = settings.PROVISIONING_PAUSE * 2 ** (organisation.attempts - 1)
        raise StepFailed(step.name, error, pause) from error
    _undo(organisation)
    raise _Superseded


def _note_failure(organisation: Organisation, reason: str) -> None:
    """From here on the organisation is being undone, whoever takes it up."""
    organisation.failure = reason
    organisation.save(update_fields=["failure", "changed_at"])


def _undo(organisation: Organisation) -> None:
    """Undoes what was done, last first, one transaction a step; then the state is `failed`.

    Raises StepFailed when an undo raised; it goes on from there.
    """
    for position, step in reversed(list(enumerate(steps()))):
        begun = time.monotonic()
        try:
            with transaction.atomic():
                current = locked(organisation)
                if current.state != State.PROVISIONING:
                    return
                if _status(current, step) == StepStatus.DONE:
                    step.undo(current)
                    _record(current, position, step, StepStatus.UNDONE, time.monotonic() - begun)
        except Exception as error:
            log.error("undoing a step failed", organisation=str(organisation.pk), exc_info=error)
            raise StepFailed(step.name, error, settings.PROVISIONING_PAUSE * 8) from error
    with transaction.atomic():
        current = locked(organisation)
        if current.state != State.PROVISIONING:
            return
        move(current, State.FAILED)
        current.save()
        trail.record(
            action="org_provisioning_failed",
            actor=_WORKER,
            organisation=current.pk,
            subject=current.label,
            reason=current.failure,
        )
    log.error("provisioning failed", organisation=str(current.pk), reason=current.failure)


def _status(organisation: Organisation, step: Step) -> str | None:
    record = StepRecord.objects.filter(organisation=organisation, step=step.name)
    return record.values_list("status", flat=True).first()


def _record(
    organisation: Organisation,
    position: int,
    step: Step,
    status: StepStatus,
    seconds: float,
    error: str = "",
) -> None:
    """One statement: everything here stands between a new customer and a phone."""
    record = StepRecord(
        organisation=organisation,
        step=step.name,
        position=position,
        status=status,
        attempt=organisation.attempts,
        seconds=round(seconds, 4),
        error=error,
        at=timezone.now(),
    )
    StepRecord.objects.bulk_create(
        [record],
        update_conflicts=True,
        unique_fields=["organisation", "step"],
        update_fields=["position", "status", "attempt", "seconds", "error", "at"],
    )
