"""`manage.py prove`: shows on the live system that a fresh organisation reaches a phone."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from pulsecloud.proof import telling
from pulsecloud.proof.record import as_json as record_json
from pulsecloud.proof.record import prove


class Command(BaseCommand):
    help = (
        "Makes a canary organisation through the public doors, pairs a phone with it, revokes, "
        "suspends and purges it, and records each step with evidence. Exit code 0 when every "
        "step passed, 1 when the system is blocked, 2 when the proof could not be run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        telling.options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        telling.require_hosted_mode()
        as_json = options["json"]
        if not as_json:
            self.stdout.write("Proving: a fresh organisation becomes reachable from a phone")
        record = telling.in_turn(
            self,
            lambda: prove(
                lambda step: None if as_json else telling.step(self, step),
                patience=options["patience"],
            ),
            options["wait"],
        )
        if as_json:
            self.stdout.write(json.dumps(record_json(record), indent=2))
        else:
            telling.outcome(self, record)
        if not record.passed:
            sys.exit(1)
