"""manage.py audit: verify the trail, note its head, seal at once, export."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from audit import canonical, export, keys, sealing, trail, verify
from audit.actors import Actor
from audit.models import Event
from tenants.models import Organisation

ACTOR = Actor.system("manage.py audit")
EVERY = 5.0  # seconds between two lines of progress


def known_head(text: str) -> tuple[int | None, str]:
    try:
        return canonical.parse_head(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


class Command(BaseCommand):
    help = (
        "The audit trail: verify it, print the head to note elsewhere, seal what waits, trust a "
        "former key, export. Exit codes: 0 intact or done, 1 the trail was changed or sealing was "
        "refused, 2 it could not be checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["verify", "head", "seal", "trust", "export"],
            help="verify: check every event, seal and signature. head: print the last seal, to be "
            "noted where nobody who can write to the database can reach it. seal: seal what waits "
            "now. trust: believe what KEY signed so far, after the encryption key was replaced. "
            "export: write events to standard output.",
        )
        parser.add_argument("key", nargs="?", help="trust: the former key's id.")
        parser.add_argument(
            "--head", action="append", default=[], type=known_head,
            help="verify: a head noted before, which must still be there; may be repeated.",
        )  # fmt: skip
        parser.add_argument(
            "--trust", action="append", default=[], metavar="KEY",
            help="verify: also believe the key with this id; may be repeated.",
        )  # fmt: skip
        parser.add_argument("--organisation", metavar="LABEL", help="export: only of this one.")
        parser.add_argument("--format", choices=sorted(export.FORMATS), default="json")
        parser.add_argument("--reason", default="", help="trust, export: for the audit trail")
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code: int = getattr(self, f"_{options['action']}")(options)
        except DatabaseError as error:
            raise CommandError(f"The trail cannot be read: {error}", returncode=2) from error
        if code:
            sys.exit(code)

    def _verify(self, options: dict[str, Any]) -> int:
        if not keys.believed(options["trust"]):
            raise CommandError(
                "There is no key to verify with: set PULSECLOUD_ENCRYPTION_KEY, or name the key "
                "that signed with --trust.",
                returncode=2,
            )
        report = verify.whole(
            heads=options["head"], pins=options["trust"], progress=self._progress()
        )
        if options["json"]:
            findings = [vars(finding) for finding in report.findings]
            self._print({"intact": report.intact, "batches": report.batches,
                         "events": report.events, "head": report.head,
                         "found": report.found, "findings": findings})  # fmt: skip
            return int(not report.intact)
        for finding in report.findings:
            self.stdout.write(f"{finding.code}: {finding.message}")
        if report.found > len(report.findings):
            self.stdout.write(f"… and {report.found - len(report.findings)} more")
        word = "intact" if report.intact else f"CHANGED ({report.found} findings)"
        self.stdout.write(f"{word}: {report.events} events in {report.batches} seals")
        if report.head:
            self.stdout.write(f"head {report.head}")
        return int(not report.intact)

    def _head(self, options: dict[str, Any]) -> int:
        last = sealing.head()
        if last is None:
            raise CommandError("Nothing is sealed yet: run `manage.py audit seal`.", returncode=2)
        text = canonical.head_text(last)
        if options["json"]:
            self._print({"head": text, "sealed_at": canonical.time_text(last.sealed_at),
                         "key": last.key_id})  # fmt: skip
        else:
            self.stdout.write(text)
        return 0

    def _seal(self, options: dict[str, Any]) -> int:
        try:
            made = sealing.seal()
        except (sealing.SealingRefused, keys.KeyMissing) as refused:
            raise CommandError(str(refused)) from refused
        count, last = sum(batch.count for batch in made), sealing.head()
        head = canonical.head_text(last) if last else ""
        if options["json"]:
            self._print({"sealed": count, "batches": len(made), "head": head})
        else:
            self.stdout.write(f"{count} events sealed" + (f"\nhead {head}" if head else ""))
        return 0

    def _trust(self, options: dict[str, Any]) -> int:
        if not options["key"]:
            raise CommandError("Name the key: manage.py audit trust KEY")
        try:
            sealing.trust(options["key"], actor=ACTOR, reason=options["reason"])
        except keys.KeyMissing as missing:
            raise CommandError(str(missing)) from missing
        self.stdout.write(f"{options['key']} is believed for all seals so far.")
        return 0

    def _export(self, options: dict[str, Any]) -> int:
        rows = Event.objects.all()
        organisation = None
        if options["organisation"]:
            found = Organisation.objects.filter(label=options["organisation"]).first()
            if found is None:
                raise CommandError(f"There is no organisation {options['organisation']!r}.")
            organisation = found.pk
            rows = rows.filter(organisation=organisation)
        kind = "json" if options["json"] else options["format"]
        trail.record(
            action="audit_exported", actor=ACTOR, organisation=organisation,
            reason=options["reason"], after={"format": kind},
        )  # fmt: skip
        records = export.records(rows, export.full_record)
        for piece in export.written(records, kind, export.FULL):
            self.stdout.write(piece, ending="")
        return 0

    def _print(self, answer: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(answer, indent=2))

    def _progress(self) -> verify.Progress:
        """Lines on standard error for who waits; none when it is done at once."""
        told = time.monotonic()

        def tell(batches: int, events: int) -> None:
            nonlocal told
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                self.stderr.write(f"{events} events in {batches} seals checked …")

        return tell
