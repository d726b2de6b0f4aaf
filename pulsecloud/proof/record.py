"""Runs a proof, or drills, step by step and writes down what they showed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import httpx
from django.conf import settings
from django.db import connection
from django.utils import timezone

from pulsecloud.proof import gauges
from pulsecloud.proof.browser import Browser, UnexpectedAnswer
from pulsecloud.proof.canary import remove_forgotten
from pulsecloud.proof.journey import Journey
from tenants import metrics
from tenants.models import ReadinessKind, ReadinessRecord

# One proof at a time, one drill at a time; the numbers are arbitrary and used for no other lock.
_PROOF_LOCK: Final = 0x9C10_0001

Show = Callable[[], dict[str, Any]]


class AlreadyRunning(Exception):
    """Another one runs on this database; wait for it, or look at its record in admin."""


class CannotGoOn(UnexpectedAnswer):
    """A step failed in a way that leaves the later ones nothing to stand on."""


@dataclass
class Step:
    """One row of the proof: passed, failed, or not run because an earlier step failed."""

    name: str
    shows: str
    status: str = "not run"
    seconds: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@contextmanager
def alone(lock: int) -> Iterator[None]:
    """Holds an advisory lock of the session. Raises AlreadyRunning."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        row = cursor.fetchone()
    if not row or not row[0]:
        raise AlreadyRunning(AlreadyRunning.__doc__)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])


def prove(report: Callable[[Step], None], *, patience: float = 1.0) -> ReadinessRecord:
    """Runs every step until one fails, removes the canary, stores and returns the record.

    `report` is called with each step as it ends; `patience` scales its deadlines.
    Raises AlreadyRunning.
    """
    with alone(_PROOF_LOCK):
        forgotten = remove_forgotten("prove")
        journey = Journey(patience)
        record = show(
            ReadinessKind.PROVE,
            journey.steps(),
            report=report,
            clean_up=lambda: [*forgotten, *journey.close()],
        )
    if record.passed:
        metrics.proof_took(record.seconds)
    return record


def show(
    kind: ReadinessKind,
    rows: Sequence[tuple[str, str, Show]],
    *,
    report: Callable[[Step], None],
    clean_up: Callable[[], list[str]],
    carry_on: bool = False,
) -> ReadinessRecord:
    """Runs `rows` (name, what it shows, how) in order and stores what they showed.

    A step that raises has failed, whatever it raised. Then the rest is not run, unless the steps
    stand alone (`carry_on`) and this one did not raise CannotGoOn. `clean_up` says what it could
    not remove; that blocks as well.
    """
    started_at, started = timezone.now(), time.monotonic()
    steps = [Step(name, shows) for name, shows, _ in rows]
    blocking: list[str] = []
    try:
        for step, (_, _, run) in zip(steps, rows, strict=True):
            began, stop = time.monotonic(), False
            try:
                step.evidence, step.status = run(), "passed"
            except Exception as error:  # whatever went wrong is the finding
                step.status = "failed"
                step.error = f"{error}" or type(error).__name__
                blocking.append(f"{step.shows}: {step.error}")
                stop = not carry_on or isinstance(error, CannotGoOn)
                # The record of a night on which the database went away needs a connection too.
                connection.close_if_unusable_or_obsolete()
            step.seconds = round(time.monotonic() - began, 3)
            report(step)
            if stop:
                break
    finally:
        blocking += [f"clean-up: {what}" for what in clean_up()]
    if blocking:
        blocking += unready_facts()
    for step in steps:
        if step.status == "not run":
            report(step)
    return ReadinessRecord.objects.create(
        kind=kind,
        passed=not blocking,
        started_at=started_at,
        seconds=round(time.monotonic() - started, 3),
        steps=[asdict(step) for step in steps],
        blocking=blocking,
        version=settings.VERSION,
    )


def as_json(record: ReadinessRecord) -> dict[str, Any]:
    """What `--json` prints of a record: {id, passed, started_at, seconds, steps, blocking}."""
    return {
        "id": str(record.pk),
        "passed": record.passed,
        "started_at": record.started_at.isoformat(),
        "seconds": record.seconds,
        "steps": record.steps,
        "blocking": record.blocking,
    }


def unready_facts() -> list[str]:
    """What web and relay themselves say is missing, to stand beside the failed step."""
    facts = []
    doors: dict[str, Callable[[], httpx.Response]] = {
        "web": lambda: Browser(timeout=3.0).request("GET", "/readyz"),
        "relay": lambda: gauges.relay_get("/readyz"),
    }
    for process, look in doors.items():
        try:
            answer = look()
            if answer.status_code != 200:
                facts.append(f"{process} is not ready: {answer.text.strip()[:300]}")
        except httpx.HTTPError as error:
            facts.append(f"{process} cannot be reached: {error}")
    return facts
