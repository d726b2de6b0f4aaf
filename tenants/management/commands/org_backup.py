"""`manage.py org_backup`: backs up one organisation or all, or lists what there is."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from tenants.backups import keeping, making
from tenants.hosts import organisation_at
from tenants.models import Backup, BackupKind, Organisation


class Command(BaseCommand):
    help = (
        "Makes an encrypted backup of one organisation, or of all that have data (canaries left "
        "out), and reads each back; --list shows what there is. The worker does this daily. Exit "
        "codes: 0 all made, 1 refused or not all could be made."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("label", nargs="?", help="the organisation's label")
        parser.add_argument("--all", action="store_true", help="every organisation")
        parser.add_argument("--list", action="store_true", help="list backups, make none")
        parser.add_argument("--dry-run", action="store_true", help="say which would be backed up")
        parser.add_argument("--reason", default="", help="for the audit trail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["label"]) == options["all"]:
            raise CommandError("Name one organisation, or say --all.")
        organisations = self._chosen(options["label"])
        if options["list"]:
            self._list(organisations, options["json"])
            return
        if options["dry_run"]:
            labels = [organisation.label for organisation in organisations]
            self._say(
                options["json"], {"would_back_up": labels}, [f"would back up {x}" for x in labels]
            )
            return
        made: list[Backup] = []
        failed: list[tuple[str, str]] = []
        for organisation in organisations:
            try:
                backup = making.back_up(
                    organisation=organisation,
                    kind=BackupKind.MANUAL,
                    actor=Actor.system("manage.py org_backup"),
                    reason=options["reason"],
                )
            except making.BackupFailed as error:
                failed.append((organisation.label, str(error)))
                continue
            made.append(backup)
        self._say(
            options["json"],
            {"made": [facts(backup) for backup in made], "failed": dict(failed)},
            [line(backup) for backup in made],
        )
        if failed:
            raise CommandError("\n".join(f"{label}: {why}" for label, why in failed))

    def _chosen(self, label: str | None) -> list[Organisation]:
        if label is None:
            return list(
                Organisation.objects.filter(state__in=keeping.LIVING, canary=False).order_by(
                    "label"
                )
            )
        organisation = organisation_at(label)
        if organisation is None:
            raise CommandError(f"There is no organisation {label}.")
        return [organisation]

    def _list(self, organisations: list[Organisation], as_json: bool) -> None:
        backups = list(
            Backup.objects.filter(organisation__in=organisations).select_related("organisation")
        )
        lines = [line(backup) for backup in backups] or ["no backup"]
        self._say(as_json, {"backups": [facts(backup) for backup in backups]}, lines)

    def _say(self, as_json: bool, said: dict[str, Any], lines: list[str]) -> None:
        self.stdout.write(json.dumps(said) if as_json else "\n".join(lines))


def facts(backup: Backup) -> dict[str, Any]:
    """For --json."""
    return {
        "id": str(backup.pk),
        "organisation": backup.organisation.label,
        "kind": backup.kind,
        "state": backup.state,
        "made_at": backup.made_at.isoformat(timespec="seconds"),
        "kept_until": backup.expires_at.isoformat(timespec="seconds"),
        "rows": backup.rows,
        "bytes": backup.bytes,
        "sha256": backup.sha256,
        "file": str(making.path_of(backup)) if backup.file else "",
        "error": backup.error,
    }


def line(backup: Backup) -> str:
    text = (
        f"{backup.pk}  {backup.organisation.label}  {backup.made_at:%Y-%m-%d %H:%M:%S}  "
        f"{backup.get_kind_display().lower()}  {backup.get_state_display().lower()}  "
        f"{backup.rows} rows  {backup.bytes} bytes  until {backup.expires_at:%Y-%m-%d}"
    )
    return f"{text}  {backup.error}" if backup.error else text
