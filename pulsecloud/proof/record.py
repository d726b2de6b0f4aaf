"""Runs the journey step by step and writes down what it showed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from django.conf import settings
from django.db import connection
from django.utils import timezone

from pulsecloud.proof import gauges
from pulsecloud.proof.browser import Browser
from pulsecloud.proof.journey import Journey
from tenants.models import ReadinessRecord

# One proof at a time; the number is arbitrary but must not be used for another lock.
ADVISORY_LOCK = 0x9C10_0001


class AlreadyProving(Exception):
    """Another proof runs on this database; wait for it, or look at its record in admin."""


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
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        row = cursor.fetchone()
    if not row or not row[0]:
        raise AlreadyProving(AlreadyProving.__doc__)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def prove(report: Callable[[Step], None], *, patience: float = 1.0) -> ReadinessRecord:
    """Runs every step until one fails, removes the canary, stores and returns the record.

    `report` is called with each step as it ends; `patience` scales its deadlines.
    Raises AlreadyProving.
    """
    with _alone():
        started_at, started = timezone.now(), time.monotonic()
        journey = Journey(patience)
        steps = [Step(name, shows) for name, shows, _ in journey.steps()]
        blocking: list[str] = []
        try:
            for step, (_, _, run) in zip(steps, journey.steps(), strict=True):
                began = time.monotonic()
                try:
                    step.evidence, step.status = run(), "passed"
                except Exception as error:  # whatever went wrong is the finding
                    step.status = "failed"
                    step.error = f"{error}" or type(error).__name__
                    blocking.append(f"{step.shows}: {step.error}")
                step.seconds = round(time.monotonic() - began, 3)
                report(step)
                if step.status == "failed":
                    break
        finally:
            blocking += [f"clean-up: {what}" for what in journey.close()]
        if blocking:
            blocking += unready_facts()
        for step in steps:
            if step.status == "not run":
                report(step)
        return ReadinessRecord.objects.create(
            kind="prove",
            passed=not blocking,
            started_at=started_at,
            seconds=round(time.monotonic() - started, 3),
            steps=[asdict(step) for step in steps],
            blocking=blocking,
            version=settings.VERSION,
        )


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
