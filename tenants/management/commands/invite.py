"""`manage.py invite`: mints invitations, one or a file of them; prints each link once, or mails it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.actors import Actor
from tenants import addresses, invitation_batches, invitations
from tenants.invitation_batches import Batch
from tenants.models import Invitation

ACTOR = Actor.system("manage.py invite")


class Command(BaseCommand):
    help = (
        "Mints an invitation to sign up an organisation. Its link is printed once and cannot be "
        "read again; with --mail it goes to the address and is not printed. With --csv a file of "
        "them is minted: all, or none with what is wrong in each line. Exit code 1: refused, and "
        "nothing was kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default="", help="bind it to this address")
        parser.add_argument("--domain", default="", help="bind it to mailboxes of this mail domain")
        parser.add_argument(
            "--csv",
            metavar="FILE",
            help="one invitation a line; columns email, domain, seats, days, note; - is standard "
            "input",
        )
        parser.add_argument("--batch", default="", help="name of the file's invitations")
        parser.add_argument("--revoke-batch", metavar="BATCH", help="end all that came with it")
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
            if options["revoke_batch"]:
                self._revoke_batch(**options)
            elif options["csv"]:
                self._invite_all(**options)
            else:
                self._invite_one(**options)
        except invitation_batches.InvalidBatch as invalid:
            if options["json"]:
                errors = [{"line": each.line, "error": each.message} for each in invalid.errors]
                self.stdout.write(json.dumps({"done": False, "errors": errors}))
            lines = [f"  {each}" for each in invalid.errors]
            raise CommandError("\n".join(["Nobody was invited.", *lines])) from None
        except invitations.InvalidInvitation as invalid:
            raise CommandError(str(invalid)) from None
        except addresses.PublicUrlMissing as missing:
            raise CommandError(f"{missing} A link cannot be written without it.") from None

    def _invite_all(self, **options: Any) -> None:
        for single in ("email", "domain", "note"):
            if options[single]:
                raise CommandError(
                    f"--{single} is for one invitation; the file has a column for it."
                )
        if options["canary"] or options["seats"] != 1:
            raise CommandError("--canary and --seats are for one invitation.")
        try:
            content = _read(options["csv"])
        except OSError as error:
            raise CommandError(f"{options['csv']} cannot be read: {error.strerror}.") from None
        with transaction.atomic():
            batch = invitation_batches.invite_all(
                content=content,
                name=options["batch"],
                days=options["days"],
                send=options["mail"],
                reason=options["reason"],
                actor=ACTOR,
            )
            transaction.set_rollback(options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps(_facts(batch, dry_run=options["dry_run"])))
            return
        many = f"{len(batch.made)} ({len(batch.mailed)} by mail)"
        if options["dry_run"]:
            self.stdout.write(f"Would invite {many}.")
            return
        self.stdout.write(f"Invited {many} in batch {batch.name!r}.")
        for each in batch.shown:
            self.stdout.write(f"  {each.invitation}\n    {each.link}")

    def _revoke_batch(self, **options: Any) -> None:
        name = options["revoke_batch"]
        if not Invitation.objects.filter(batch=name).exists():
            raise CommandError(f"There is no batch called {name}.")
        with transaction.atomic():
            count = invitations.revoke_batch(batch=name, actor=ACTOR, reason=options["reason"])
            transaction.set_rollback(options["dry_run"])
        if options["json"]:
            facts = {"batch": name, "revoked": count, "dry_run": options["dry_run"]}
            self.stdout.write(json.dumps(facts))
        else:
            would = "Would revoke" if options["dry_run"] else "Revoked"
            self.stdout.write(f"{would} {count} of batch {name!r}; the rest had ended.")

    def _invite_one(self, **options: Any) -> None:
        with transaction.atomic():
            invited = invitations.invite(
                email=options["email"],
                domain=options["domain"],
                canary=options["canary"],
                note=options["note"],
                seats=options["seats"],
                days=options["days"],
                send=options["mail"],
                reason=options["reason"],
                actor=ACTOR,
            )
            link = invited.link
            transaction.set_rollback(options["dry_run"])
        invitation = invited.invitation
        shown = not (options["dry_run"] or options["mail"])
        facts = {
            "id": str(invitation.pk),
            "email": invitation.email,
            "domain": invitation.domain,
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
        whom = str(invitation)
        if options["dry_run"]:
            self.stdout.write(f"Would invite {whom} until {facts['expires_at']}.")
        elif options["mail"]:
            self.stdout.write(f"Invited {whom} by mail, until {facts['expires_at']}.")
        else:
            self.stdout.write(f"Invitation for {whom}, until {facts['expires_at']}:\n  {link}")


def _read(file: str) -> bytes:
    """One byte more than a batch may have, at most."""
    if file == "-":
        return sys.stdin.buffer.read(invitation_batches.LARGEST + 1)
    with Path(file).open("rb") as opened:
        return opened.read(invitation_batches.LARGEST + 1)


def _facts(batch: Batch, *, dry_run: bool) -> dict[str, Any]:
    return {
        "done": not dry_run,
        "dry_run": dry_run,
        "batch": batch.name,
        "invitations": [
            {
                "email": each.invitation.email,
                "domain": each.invitation.domain,
                "seats": each.invitation.seats,
                "expires_at": each.invitation.expires_at.isoformat(timespec="seconds"),
                "mailed": each.invitation.mailed_at is not None,
                "link": None if dry_run or each.invitation.mailed_at else each.link,
            }
            for each in batch.made
        ],
    }
