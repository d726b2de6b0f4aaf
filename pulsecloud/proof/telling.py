"""Shows a proof or drills on a terminal, line by line as they happen."""

from __future__ import annotations

from typing import Final

from django.core.management.base import BaseCommand

from pulsecloud.proof.record import Step
from tenants.models import ReadinessRecord

_MARKS: Final = {"passed": "✓", "failed": "✗", "not run": "·"}
_WIDTH: Final = 58


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
