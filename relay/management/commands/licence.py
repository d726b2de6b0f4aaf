"""`manage.py licence`: attaches a relay licence to a hosted organisation, shows or detaches it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from relay.models import Registration
from relay.registration import LicenceRefused, attach_licence, detach_licence
from tenants.hosts import organisation_at

ACTOR = Actor.system("manage.py licence")


class Command(BaseCommand):
    help = (
        "An attached licence is what an organisation registers at the relay with, instead of its "
        "lease; its instance id and paired phones stay. The licence is read from standard input or "
        "a file, never from the command line, which other users of the machine can see."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["attach", "detach", "show"])
        parser.add_argument("label", help="the organisation's label")
        parser.add_argument("--file", type=Path, help="attach: the file that holds the licence")
        parser.add_argument("--reason", default="", help="for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_at(options["label"])
        if organisation is None:
            raise CommandError(f"There is no organisation {options['label']}.")
        reason = options["reason"]
        if options["action"] == "attach":
            try:
                attach_licence(
                    organisation=organisation,
                    token=_text(options["file"]),
                    actor=ACTOR,
                    reason=reason,
                )
            except LicenceRefused as refused:
                raise CommandError(f"{refused} ({refused.code})") from None
        elif options["action"] == "detach":
            detach_licence(organisation=organisation, actor=ACTOR, reason=reason)
        registration = Registration.objects.filter(organisation=organisation).first()
        held = registration.licence_id if registration else ""
        self.stdout.write(f"{organisation.label}: {f'licence {held}' if held else 'no licence'}")


def _text(file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8") if file else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The licence cannot be read: {error}") from None
