"""Jobs of the wiring: what is about the whole platform."""

from __future__ import annotations

import structlog
from django.conf import settings
from procrastinate.contrib.django import app

from pulsecloud import samples
from pulsecloud.drills import standing

log = structlog.get_logger(__name__)


@app.periodic(cron="*/5 * * * *")
@app.task(name="pulsecloud.tasks.sample", queueing_lock="sample")
def sample(timestamp: int) -> None:
    """Every 5 min: notes the platform's figures for the charts of the staff home."""
    samples.take()
    samples.prune()


def _has_room(what: str) -> bool:
    """Whether this worker can set up the canary that such a job waits for. With one job at a time it
    would wait for itself, and write down that nobody can sign up."""
    if settings.WORKER_CONCURRENCY > 1:
        return True
    log.error(
        "not run by the worker: it would wait for itself",
        what=what,
        remedy="set PULSECLOUD_WORKER_CONCURRENCY to 2 or more, or run the command from cron",
    )
    return False


@app.periodic(cron="37 * * * *")
@app.task(name="pulsecloud.tasks.prove", queueing_lock="prove")
def prove(timestamp: int) -> None:
    """Every hour: proves when the last proof is too old (settings.PROVE_EVERY), so that a promise that
    broke is known before a customer says so. Not while hosted mode is off."""
    if not settings.HOSTED_MODE or not standing.proof_due() or not _has_room("proof"):
        return
    # As below: what proves is the worker's alone.
    from pulsecloud.proof import record as proofs

    try:
        record = proofs.prove(lambda step: None)
    except proofs.AlreadyRunning:
        return
    if record.passed:
        log.info("proof passed", seconds=record.seconds)
    else:
        log.error("proof blocked", blocking=record.blocking)


@app.periodic(cron="7 * * * *")
@app.task(name="pulsecloud.tasks.drill", queueing_lock="drill")
def drill(timestamp: int) -> None:
    """Every hour: runs the drills that are due (once a day, settings.DRILLS_EVERY), so that a
    worker that was down at the time makes up for it. Not while hosted mode is off."""
    due = standing.due() if settings.HOSTED_MODE else []
    if not due or not _has_room("drills"):
        return
    # Every process that queues jobs imports this module; what runs drills is the worker's alone.
    from pulsecloud.drills import record as drills
    from pulsecloud.proof.record import AlreadyRunning

    for name in due:
        try:
            record = drills.drill(name, lambda step: None)
        except AlreadyRunning:
            return
        if record.passed:
            log.info("drills passed", drills=name, seconds=record.seconds)
        else:
            log.error("drills blocked", drills=name, blocking=record.blocking)
