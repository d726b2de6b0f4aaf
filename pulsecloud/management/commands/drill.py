"""`manage.py drill`: tries on the live system what life cycle and roles promise."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand

from pulsecloud.drills.record import drill
from pulsecloud.drills.standing import NAMES
from pulsecloud.proof import telling
from pulsecloud.proof.record import as_json
from tenants.models import ReadinessRecord

TITLES: Final = {
    "lifecycle": "Life-cycle drills: suspend, lift, delete, as an owner's programs would",
    "rbac": "RBAC drills: roles come and go with their organisation",
}


class Command(BaseCommand):
    help = (
        "Makes canary organisations through the public doors, tries the life cycle and the roles "
        "of organisations on them over HTTP, removes them, and records each drill with evidence. "
        "Exit code 0 when every drill passed, 1 when one failed, 2 when they could not be run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "which", nargs="?", default="all", choices=[*NAMES, "all"], help="default: all"
        )
        telling.options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        telling.require_hosted_mode()
        names = list(NAMES) if options["which"] == "all" else [options["which"]]
        records = [self._drill(name, **options) for name in names]
        passed = all(record.passed for record in records)
        if options["json"]:
            found = [{"kind": record.kind, **as_json(record)} for record in records]
            self.stdout.write(json.dumps({"passed": passed, "records": found}, indent=2))
        if not passed:
            sys.exit(1)

    def _drill(self, name: str, **options: Any) -> ReadinessRecord:
        quiet, patience, wait = options["json"], options["patience"], options["wait"]
        if quiet:
            return telling.in_turn(
                self, lambda: drill(name, lambda _: None, patience=patience), wait
            )
        self.stdout.write(TITLES[name])
        record = telling.in_turn(
            self,
            lambda: drill(name, lambda step: telling.step(self, step), patience=patience),
            wait,
        )
        telling.outcome(self, record)
        return record
