"""`manage.py org_export`: an organisation's data for the customer, without secrets."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from tenants.backups import exporting
from tenants.hosts import organisation_at


class Command(BaseCommand):
    help = (
        "Writes what a customer may take along: all tables of the organisation as JSON, as SQL for "
        "PostgreSQL, or both, without secrets. Exit codes: 0 written, 1 refused or not written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("label", help="the organisation's label")
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="where to write")
        parser.add_argument("--format", choices=["json", "sql", "both"], default="both")
        parser.add_argument("--reason", default="", help="for the audit trail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_at(options["label"])
        if organisation is None:
            raise CommandError(f"There is no organisation {options['label']}.")
        wanted = exporting.FORMATS if options["format"] == "both" else (options["format"],)
        try:
            made = exporting.export(
                organisation=organisation,
                to=options["to"],
                formats=wanted,
                actor=Actor.system("manage.py org_export"),
                reason=options["reason"],
            )
        except exporting.ExportRefused as refused:
            raise CommandError(str(refused)) from None
        except OSError as error:
            raise CommandError(f"The export could not be written: {error}") from None
        if options["json"]:
            self.stdout.write(
                json.dumps({"files": [str(file) for file in made.files], "rows": made.rows})
            )
            return
        for file in made.files:
            self.stdout.write(f"{file}")
        self.stdout.write(f"{sum(made.rows.values())} rows in {len(made.rows)} tables, no secrets")
