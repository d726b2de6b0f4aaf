"""Signing keys of entitlement leases: ensure, prepare, rotate, list, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from billing import keys

ACTOR = Actor.system("manage.py keys")


class Command(BaseCommand):
    help = "Signing keys of entitlement leases: ensure, prepare, rotate, list or export them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["ensure", "prepare", "rotate", "list", "export"],
            help="ensure: make the first key. prepare: make the next key, so that relays can "
            "learn it. rotate: sign with the next key from now on. list: show keys. export: write "
            "the public keys for relays to read.",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument("--reason", default="", help="Why; goes into the audit trail.")
        parser.add_argument(
            "--force",
            action="store_true",
            help="rotate: although the relay does not know the next key (a leaked key).",
        )
        parser.add_argument(
            "--to",
            type=Path,
            help="export: the file to write, one key a line. "
            "Default: PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE; without it they are printed.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        action, reason = options["action"], options["reason"]
        try:
            if action == "ensure":
                keys.ensure(actor=ACTOR)
            elif action == "prepare":
                keys.prepare(actor=ACTOR, reason=reason)
            elif action == "rotate":
                keys.rotate(actor=ACTOR, reason=reason, force=options["force"])
        except keys.RotationRefused as refused:
            raise CommandError(str(refused)) from refused
        if action == "export":
            self._export(options["to"])
        else:
            self._list(as_json=options["json"])

    def _export(self, target: Path | None) -> None:
        name = settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE
        path = target or (Path(name) if name else None)
        if path is None:
            self.stdout.write("\n".join(keys.public_keys()))
            return
        lines = keys.export(path)
        many = "1 public key" if len(lines) == 1 else f"{len(lines)} public keys"
        self.stdout.write(f"{many} written to {path}.")

    def _list(self, *, as_json: bool) -> None:
        listed = keys.listed()
        if as_json:
            self.stdout.write(json.dumps([vars(key) for key in listed], indent=2))
            return
        if not listed:
            self.stdout.write("No signing key yet: run `manage.py keys ensure`.")
        for key in listed:
            until = f"  until {key.retires_at}" if key.retires_at else ""
            self.stdout.write(f"{key.kid}  {key.state:<9} {key.public_key}{until}")
