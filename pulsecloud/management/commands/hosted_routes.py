"""`manage.py hosted_routes`: the gate's eleven routes, and whether a running server keeps to them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pulsecloud import gate_check
from tenants import hosted_routes
from tenants.addresses import PublicUrlMissing


class Command(BaseCommand):
    help = (
        "Lists the eleven routes that PULSE_HOSTED_MODE=true opens. With --check it asks the "
        "running web server for each, as somebody without any right. Exit code 0: every route "
        "answers as it should. 1: some do not. 2: the server could not be asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", choices=("on", "off"), help="what hosted mode of the server should be"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"] is None:
            self._list(as_json=options["json"])
            return
        try:
            found = gate_check.check(on=options["check"] == "on")
        except gate_check.NotAsked as error:
            raise CommandError(str(error), returncode=2) from None
        except PublicUrlMissing as error:
            raise CommandError(str(error), returncode=2) from None
        wrong = [finding for finding in found if not finding.holds]
        if options["json"]:
            self.stdout.write(json.dumps([_told(finding) for finding in found], indent=2))
        else:
            for finding in found:
                self.stdout.write(_line(finding))
            self.stdout.write(
                f"{len(wrong)} of {len(found)} routes do not answer as with hosted mode "
                f"{options['check']}"
                if wrong
                else f"All {len(found)} routes answer as with hosted mode {options['check']}"
            )
        if wrong:
            raise SystemExit(1)

    def _list(self, *, as_json: bool) -> None:
        if as_json:
            rows = [
                {
                    "number": route.number,
                    "method": route.method,
                    "path": route.path,
                    "auth": route.auth,
                    "built": route.built,
                    "later": route.later or None,
                    "told_without_rights": _words(route.told),
                }
                for route in hosted_routes.ALL
            ]
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for route in hosted_routes.ALL:
            about = route.auth if route.built else f"not there: {route.later}"
            self.stdout.write(f"{route.number:>2}  {route!s:<55} {about}")


def _told(finding: gate_check.Finding) -> dict[str, Any]:
    return {
        "number": finding.route.number,
        "method": finding.route.method,
        "path": finding.route.path,
        "answer": _words((finding.status, finding.code)),
        "expected": _words(finding.expected),
        "holds": finding.holds,
    }


def _line(finding: gate_check.Finding) -> str:
    said = _words((finding.status, finding.code))
    line = f"{'ok   ' if finding.holds else 'WRONG'} {finding.route.number:>2}  "
    line += f"{finding.route!s:<55} {said}"
    return line if finding.holds else f"{line}, expected {_words(finding.expected)}"


def _words(answer: tuple[int, str]) -> str:
    return f"{answer[0]} {answer[1]}".strip()
