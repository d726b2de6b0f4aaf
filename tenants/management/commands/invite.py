"""`manage.py invite`: mints an invitation and prints its link once, or mails it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.actors import Actor
from tenants import addresses, invitations


class Command(BaseCommand):
    help = (
        "Mints an invitation to sign up an organisation. Its link is printed once and cannot be "
        "read again; with --mail it goes to the address and is not printed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default="", help="bind it to this address")
        parser.add_argument("--seats", type=int, default=1, help="how many may sign up (1)")
        parser.add_argument("--days", type=int, default=14, help="how long it is good for (14)")
        parser.add_argument("--note", default="", help="for staff")
        parser.add_argument("--reason", default="", help="for the audit trail")
        parser.add_argument("--mail", action="store_true", help="mail the link to the address")
        parser.add_argument(
            "--canary",
            action="store_true",
            help="for proofs and drills: marks the organisation, passes the sign-up limits, and "
            "redeeming it proves the mailbox",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--dry-run", action="store_true", help="check everything, keep nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                invited = invitations.invite(
                    email=options["email"],
                    canary=options["canary"],
                    note=options["note"],
                    seats=options["seats"],
                    days=options["days"],
                    send=options["mail"],
                    reason=options["reason"],
                    actor=Actor.system("manage.py invite"),
                )
                link = invited.link
                transaction.set_rollback(options["dry_run"])
        except invitations.InvalidInvitation as invalid:
            raise CommandError(str(invalid)) from None
        except addresses.PublicUrlMissing as missing:
            raise CommandError(f"{missing} A link cannot be written without it.") from None
        invitation = invited.invitation
        shown = not (options["dry_run"] or options["mail"])
        facts = {
            "id": str(invitation.pk),
            "email": invitation.email,
            "canary": invitation.canary,
            "seats": invitation.seats,
            "expires_at": invitation.expires_at.isoformat(timespec="seconds"),
            "mailed": options["mail"],
            "dry_run": options["dry_run"],
            "link": link if shown else None,
        }
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        whom = invitation.email or f"{invitation.seats} sign-ups"
        if options["dry_run"]:
            self.stdout.write(f"Would invite {whom} until {facts['expires_at']}.")
        elif options["mail"]:
            self.stdout.write(f"Invited {whom} by mail, until {facts['expires_at']}.")
        else:
            self.stdout.write(f"Invitation for {whom}, until {facts['expires_at']}:\n  {link}")
