"""`manage.py org_restore`: puts one organisation back from a backup; first look with --dry-run."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from audit.actors import Actor
from tenants.backups import restoring
from tenants.hosts import organisation_at
from tenants.models import Backup, Organisation


class Command(BaseCommand):
    help = (
        "Makes one organisation's data what it was in a backup: a new schema is loaded, verified, and "
        "switched to in one transaction. API tokens are revoked, phones pair again, sessions on its "
        "host end; the state, billing and relay identity stay. What is there now is backed up first. "
        "--dry-run does everything but the switch and lists the differences. Exit codes: 0 done, 1 "
        "refused or failed, and nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("label", help="the organisation's label")
        parser.add_argument("--backup", metavar="ID", help="which (default: the newest good one)")
        parser.add_argument("--reason", default="", help="for the audit trail; needed to restore")
        parser.add_argument(
            "--dry-run", action="store_true", help="change nothing, list differences"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_at(options["label"])
        if organisation is None:
            raise CommandError(f"There is no organisation {options['label']}.")
        backup = self._backup(organisation, options["backup"])
        try:
            if options["dry_run"]:
                what = restoring.plan(organisation=organisation, backup=backup)
            else:
                what = restoring.restore(
                    organisation=organisation,
                    backup=backup,
                    actor=Actor.system("manage.py org_restore"),
                    reason=options["reason"],
                )
        except restoring.RestoreRefused as refused:
            raise CommandError(f"{refused.code}: {refused}") from None
        except (Error, OSError) as error:
            raise CommandError(f"It failed, and nothing was changed: {error}") from error
        if options["json"]:
            facts = {"organisation": organisation.label, "dry_run": options["dry_run"]}
            self.stdout.write(json.dumps(facts | what.facts()))
        else:
            self._tell(what, dry_run=options["dry_run"])

    def _backup(self, organisation: Organisation, wanted: str | None) -> Backup:
        if wanted is None:
            found = restoring.newest(organisation)
        else:
            try:
                found = organisation.backups.filter(pk=wanted).first()
            except ValidationError:
                found = None
        if found is None:
            raise CommandError(
                f"There is no such backup of {organisation.label}. "
                f"`manage.py org_backup {organisation.label} --list` shows them."
            )
        return found

    def _tell(self, what: restoring.Plan, *, dry_run: bool) -> None:
        made = f"{what.backup.made_at:%Y-%m-%d %H:%M:%S} UTC"
        done = "Would be put back" if dry_run else "Put back"
        self.stdout.write(f"{done} as it was on {made} (backup {what.backup.pk}).")
        self.stdout.write(f"  {'table':<22} {'now':>6}  {'then':>6}")
        for name, rows in what.rows.items():
            now = what.rows_now.get(name)
            shown = "gone" if now is None else str(now)
            self.stdout.write(f"  {name:<22} {shown:>6}  {rows:>6}")
        for title, differences in (("people", what.people), ("access", what.access)):
            for each in differences:
                before, after = ", ".join(each.before) or "-", ", ".join(each.after) or "-"
                self.stdout.write(f"{title}: {each.subject}: {before} -> {after}")
        if what.missing_people:
            self.stdout.write(f"people: {what.missing_people} left out, their accounts are gone")
        if what.owner_stays:
            self.stdout.write(
                "people: the present owner stays, with all rights; "
                "the one of then has no open account"
            )
        if what.migrated:
            self.stdout.write(f"migrated: {', '.join(what.migrated)}")
        if dry_run:
            if what.nothing_to_keep:
                self.stdout.write("Its tables are gone: nothing is kept, it could not be undone.")
            else:
                self.stdout.write("What it has now would be backed up first, if it can be read.")
            self.stdout.write(
                "API tokens would be revoked, phones have to pair again, people sign in again."
            )
            self.stdout.write("Nothing was changed.")
        else:
            if what.kept is not None:
                self.stdout.write(f"What it had before is backup {what.kept.pk}.")
            else:
                self.stdout.write("What it had before could not be read: this cannot be undone.")
            self.stdout.write("API tokens are revoked, phones pair again, people sign in again.")
