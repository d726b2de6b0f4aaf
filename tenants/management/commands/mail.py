"""`manage.py mail`: which mail waits to be sent, why, and trying all of it now."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from audit.actors import Actor
from tenants import mail

SHOWN = 100


class Command(BaseCommand):
    help = (
        "Shows mail that waits to be sent and what the mail server said. With --now everything is "
        "tried at once instead of at its next turn, for when the server is back. Exit code 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="try all of it now")
        parser.add_argument("--reason", default="", help="why, for the audit trail")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("manage.py mail")
        hurried = mail.try_now(actor=actor, reason=options["reason"]) if options["now"] else 0
        waits = mail.waiting()
        count = waits.count()
        if options["json"]:
            found = {
                "waiting": count,
                "tried_now": hurried,
                "mails": [
                    {
                        "recipient": each.recipient,
                        "subject": each.subject,
                        "since": each.created_at.isoformat(),
                        "error": each.error,
                    }
                    for each in waits[:SHOWN]
                ],
            }
            self.stdout.write(json.dumps(found, indent=2))
            return
        if not settings.EMAIL_URL:
            self.stdout.write("No mail server is set (EMAIL_URL): mail stands in the staff outbox.")
        for each in waits[:SHOWN]:
            self.stdout.write(
                f"{each.created_at:%Y-%m-%d %H:%M}  {each.recipient}  {each.subject}"
                f"{f'  [{each.error}]' if each.error else ''}"
            )
        if count > SHOWN:
            self.stdout.write(f"… and {count - SHOWN} more")
        self.stdout.write(
            f"{count} mails wait." + (f" {hurried} are tried now." if options["now"] else "")
        )
