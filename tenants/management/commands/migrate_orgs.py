"""manage.py migrate_orgs: brings the schemas of all organisations to this release."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import schema_template
from tenants.upgrades import rendering, running, versions
from tenants.upgrades.running import LOCK_MS, STATEMENT_MS

BEHIND, COULD_NOT_RUN = 1, 2

DESCRIPTION = f"""\
Brings the schemas of all organisations to the migrations of this release. Each migration's SQL is
worked out once, on a draft, and then runs in every schema that lacks it, in a short transaction of its
own; Python migrations run by Django's executor. Organisations are served meanwhile. May be killed and
run again at any time: it goes on where it was. `manage.py migrate` and every start do the same.

  manage.py migrate_orgs --dry-run        what would run, and in how many schemas
  manage.py migrate_orgs --limit 5        only five schemas, canaries' first
  manage.py migrate_orgs                  all of them
  manage.py migrate_orgs --check          look into every schema; change nothing

A schema that stays locked for {LOCK_MS / 1000:g} s is tried again after the others, {running.ROUNDS} times in all.
One that fails is named with its error and holds nobody else up.

Exit code: 0 every schema is current (or --limit left the rest); 1 schemas are behind; 2 it could not
run: a migration does not work at all, and nobody's schema was touched, or the database went away.
"""


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["formatter_class"] = RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--check", action="store_true", help="ask every schema, change nothing")
        what.add_argument("--dry-run", action="store_true", help="show the SQL, run it nowhere")
        parser.add_argument("--limit", type=int, metavar="N", help="at most N schemas")
        parser.add_argument(
            "--lock-timeout",
            type=float,
            default=LOCK_MS / 1000,
            metavar="SECONDS",
            help="how long to wait for a schema in use (default: %(default)g); its requests wait "
            "as long",
        )
        parser.add_argument(
            "--statement-timeout",
            type=float,
            default=STATEMENT_MS / 1000,
            metavar="SECONDS",
            help="how long one statement may take in one schema (default: %(default)g)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json: bool = options["json"]
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit must be at least 1.", returncode=COULD_NOT_RUN)
        for name in ("lock_timeout", "statement_timeout"):
            if not 0.001 <= options[name] <= 86_400:
                flag = name.replace("_", "-")
                raise CommandError(
                    f"--{flag} must lie between 0.001 and 86400 seconds.", returncode=COULD_NOT_RUN
                )
        try:
            if not versions.can_be_noted():
                raise running.NotPrepared(running.NOT_PREPARED)
            if options["check"]:
                self.check_all()
            elif options["dry_run"]:
                self.show_plan(options["limit"])
            else:
                self.run(options)
        except (
            rendering.BrokenMigration,
            running.DatabaseGone,
            running.NotPrepared,
            schema_template.TemplateError,
        ) as error:
            if self.as_json:
                self.stdout.write(json.dumps({"error": str(error)}))
            raise CommandError(
                f"{error}\nNo schema is between two migrations.", returncode=COULD_NOT_RUN
            ) from None

    def run(self, options: dict[str, Any]) -> None:
        report = running.upgrade(
            limit=options["limit"],
            lock_ms=round(options["lock_timeout"] * 1000),
            statement_ms=round(options["statement_timeout"] * 1000),
            say=self.stderr.write,
        )
        if self.as_json:
            self.stdout.write(json.dumps(report.document()))
        else:
            self.show_migrations(report.migrations)
            rate = report.migrated / report.seconds if report.seconds else 0
            self.stdout.write(
                f"{report.migrated} of {report.behind} schemas migrated to {report.version}"
                f" in {report.seconds:.1f} s ({rate:.0f} a second)."
            )
            for number, what in (
                (report.current, "current already"),
                (report.gone, "removed meanwhile"),
                (report.left, "left by --limit"),
            ):
                if number:
                    self.stdout.write(f"{number} {what}.")
        if report.stragglers:
            self.stderr.write(running.failures(report))
            sys.exit(BEHIND)

    def show_plan(self, limit: int | None) -> None:
        with schema_template.alone():
            behind = versions.behind()[:limit]
            plan = running.plan(behind)
        if self.as_json:
            migrations = [{"name": each.name, "sql": each.sql, "why": each.why} for each in plan]
            self.stdout.write(json.dumps({"schemas": len(behind), "migrations": migrations}))
            return
        for each in plan:
            self.stdout.write(f"-- {each.name}" + (f": {each.why}" if each.why else ""))
            self.stdout.write(each.sql if each.sql is not None else "-- runs by Django's executor")
        self.stdout.write(f"-- would run where it is lacking in {len(behind)} schemas")

    def check_all(self) -> None:
        release = versions.release()
        found = list(versions.survey())
        behind = [each for each in found if release.lacking(each.applied or ())]
        wrong = [each for each in found if each.noted != release.version_of(each.applied or ())]
        newer = [each for each in found if (each.applied or frozenset()) - release.known]
        if self.as_json:
            self.stdout.write(
                json.dumps(
                    {
                        "version": release.version,
                        "schemas": len(found),
                        "behind": [
                            {
                                "schema": each.name,
                                "organisation": each.label,
                                "version": release.version_of(each.applied or ()),
                            }
                            for each in behind
                        ],
                        "noted_wrongly": len(wrong),
                        "newer_than_this_release": len(newer),
                    }
                )
            )
        else:
            for each in behind:
                at = release.version_of(each.applied or ()) or "nothing"
                self.stdout.write(f"{each.label} ({each.name}) is at {at}")
            self.stdout.write(f"{len(found)} schemas, {len(behind)} behind {release.version}.")
            if wrong:
                self.stdout.write(
                    f"{len(wrong)} are noted wrongly; `manage.py migrate` corrects the notes."
                )
            if newer:
                self.stdout.write(
                    f"{len(newer)} were migrated by a newer release: run that one here."
                )
        if behind:
            sys.exit(BEHIND)

    def show_migrations(self, migrations: list[rendering.Rendered]) -> None:
        for each in migrations:
            how = "one SQL for all" if each.sql is not None else f"by Django: {each.why}"
            self.stdout.write(f"{each.name}: {how}")
