"""What the commands `prove` and `drill` share: their options, when they refuse, and how they show
what happens on a terminal, line by line."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pulsecloud.proof.record import AlreadyRunning, Step
from tenants.models import ReadinessRecord

_MARKS: Final = {"passed": "✓", "failed": "✗", "not run": "·"}
_WIDTH: Final = 58


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print what was recorded as JSON")
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="scales how long each promise may take (default 1; 3 on a slow machine)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for one that runs already (default 120)",
    )


def in_turn(
    command: BaseCommand, run: Callable[[], ReadinessRecord], seconds: float
) -> ReadinessRecord:
    """What `run` returns, after the one that runs already: the worker proves by itself, too.

    Raises CommandError when that has not ended in so many seconds.
    """
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            return run()
        except AlreadyRunning as error:
            if time.monotonic() >= deadline:
                raise CommandError(str(error), returncode=2) from None
        if not told:
            command.stderr.write(
                f"Another one runs, perhaps the worker's; waiting {seconds:g} s for it"
            )
            told = True
        time.sleep(0.5)


def require_hosted_mode() -> None:
    """Raises CommandError: without hosted mode there is nothing to try."""
    if not settings.HOSTED_MODE:
        raise CommandError(
            "Hosted mode is off, so no organisation can sign up. Start with "
            "PULSE_HOSTED_MODE=true (for the servers and for this command).",
            returncode=2,
        )


def step(command: BaseCommand, step: Step) -> None:
    """One line of the table; a failed step has its reason below."""
    took = "  not run" if step.status == "not run" else f"{step.seconds:>7.2f} s"
    line = f"  {_MARKS[step.status]} {step.shows:<{_WIDTH}} {took}"
    if step.status == "failed":
        line = command.style.ERROR(f"{line}\n      {step.error}")
    command.stdout.write(line)
    command.stdout.flush()


def outcome(command: BaseCommand, record: ReadinessRecord) -> None:
    """Passed, or blocked with every fact that blocks."""
    if record.passed:
        text = f"Passed in {record.seconds:.1f} s. Record {record.pk}"
        command.stdout.write(command.style.SUCCESS(text))
        return
    command.stdout.write(command.style.ERROR(f"Blocked. Record {record.pk}"))
    for fact in record.blocking:
        command.stdout.write(f"  - {fact}")
