"""`manage.py prove`: shows on the live system that a fresh organisation reaches a phone."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pulsecloud.proof import telling
from pulsecloud.proof.record import AlreadyRunning, prove
from pulsecloud.proof.record import as_json as record_json


class Command(BaseCommand):
    help = (
        "Makes a canary organisation through the public doors, pairs a phone with it, revokes, "
        "suspends and purges it, and records each step with evidence. Exit code 0 when every "
        "step passed, 1 when the system is blocked, 2 when the proof could not be run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the record as JSON")
        parser.add_argument(
            "--patience",
            type=float,
            default=1.0,
            metavar="FACTOR",
            help="scales how long each step may take (default 1; 3 on a slow machine)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.HOSTED_MODE:
            raise CommandError(
                "Hosted mode is off, so no organisation can sign up. Start with "
                "PULSE_HOSTED_MODE=true (for the servers and for this command).",
                returncode=2,
            )
        as_json = options["json"]
        if not as_json:
            self.stdout.write("Proving: a fresh organisation becomes reachable from a phone")
        try:
            record = prove(
                lambda step: None if as_json else telling.step(self, step),
                patience=options["patience"],
            )
        except AlreadyRunning as error:
            raise CommandError(str(error), returncode=2) from None
        if as_json:
            self.stdout.write(json.dumps(record_json(record), indent=2))
        else:
            telling.outcome(self, record)
        if not record.passed:
            sys.exit(1)
