"""`manage.py reaper`: deletes organisations whose retention is over, or shows what that would take."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.actors import Actor
from tenants.deletion import blast, claims, notices, outcomes, planning, reaper, reaping
from tenants.models import Organisation, Removal, State
from tenants.states import TransitionRefused

ACTOR = Actor.system("manage.py reaper")


class Command(BaseCommand):
    help = (
        "One round of the reaper: posts the notices that are due and deletes the organisations whose "
        "retention is over, each with a final encrypted copy and a signed receipt. The worker does "
        "this every 5 minutes. Exit codes: 0 done or nothing to do, 1 a deletion failed (it is tried "
        "again later), 2 refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "label", nargs="?", help="only this organisation; its retention must be over"
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="change nothing: show what would go (rows, bytes, sockets, tokens, people); with a "
            "label also of one that is not due, and why it is not",
        )
        parser.add_argument(
            "--put-off",
            type=int,
            metavar="DAYS",
            help="with a label: delete nothing, give its deletion this many more days (from now, when "
            "it is due already), in which it can be restored",
        )
        parser.add_argument("--reason", default="", help="for the audit trail")
        parser.add_argument("--json", action="store_true", help="print a JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["put_off"] is not None:
            if options["dry_run"]:
                raise CommandError("--put-off changes a date: leave --dry-run out.", returncode=2)
            self._put_off(options)
            return
        if options["dry_run"]:
            found = self._dry_run(options["label"])
        elif not settings.HOSTED_MODE:
            raise CommandError("Hosted mode is off: nothing is deleted then.", returncode=2)
        elif settings.REAPER == "off" or (options["label"] and settings.REAPER != "on"):
            raise CommandError(
                f"PULSECLOUD_REAPER is {settings.REAPER}: nothing is deleted.", returncode=2
            )
        elif options["label"]:
            found = [self._one(options["label"], options["reason"])]
        else:
            found = reaping.once(actor=ACTOR)
        if options["json"]:
            self.stdout.write(json.dumps([each.as_json() for each in found], indent=2))
        elif not found:
            self.stdout.write("Nothing is due.")
        else:
            for each in found:
                self._show(each)
        if any(each.action == outcomes.FAILED for each in found):
            sys.exit(1)

    def _put_off(self, options: dict[str, Any]) -> None:
        if not options["label"] or not options["reason"].strip():
            raise CommandError("--put-off takes a label and a --reason.", returncode=2)
        organisation = self._organisation(options["label"])
        try:
            removal = planning.put_off(
                organisation=organisation,
                days=options["put_off"],
                actor=ACTOR,
                reason=options["reason"],
            )
        except TransitionRefused as refused:
            raise CommandError(f"{refused} ({refused.code})", returncode=2) from None
        if options["json"]:
            facts = {"label": organisation.label, "due_at": removal.due_at.isoformat()}
            self.stdout.write(json.dumps(facts))
        else:
            self.stdout.write(f"{organisation.label}: due {removal.due_at:%Y-%m-%d %H:%M} UTC")

    def _dry_run(self, label: str | None) -> list[outcomes.Reaped]:
        if not label:
            return [reaper.dry_run(removal) for removal in planning.due()]
        organisation = self._organisation(label)
        removal = Removal.objects.filter(organisation=organisation).first()
        if removal is not None and organisation.state == State.PENDING_DELETION:
            removal.organisation = organisation
            return [reaper.dry_run(removal)]
        if organisation.state in (State.PURGING, State.DELETED):
            raise CommandError(f"{label} is {organisation.state}: too late to look.", returncode=2)
        # Nobody has asked for its deletion; what it would take can be known all the same.
        now, state = timezone.now(), str(organisation.get_state_display()).lower()
        return [
            outcomes.Reaped(
                organisation=str(organisation.pk), label=label, requested_at=now,
                retention_days=None, due_at=now, action=outcomes.DRY_RUN,
                blast=blast.blast_radius(organisation).as_json(),
                waits=f"Nobody asked for its deletion: it is {state}.",
            )
        ]  # fmt: skip

    def _one(self, label: str, reason: str) -> outcomes.Reaped:
        organisation = self._organisation(label)
        notices.send_due()
        try:
            return reaper.reap(organisation=organisation, actor=ACTOR, reason=reason)
        except TransitionRefused as refused:
            raise CommandError(f"{refused} ({refused.code})", returncode=2) from None
        except claims.Busy as busy:
            raise CommandError(f"{busy} (busy)", returncode=2) from None
        except claims.ReapFailed as failed:
            raise CommandError(
                f"{failed}\nWhat was done stays done; the worker goes on with it later.",
                returncode=1,
            ) from None

    def _organisation(self, label: str) -> Organisation:
        found = Organisation.objects.filter(label=label).exclude(state=State.EXPIRED).first()
        if found is None:
            raise CommandError(f"There is no organisation {label!r}.", returncode=2)
        return found

    def _show(self, each: outcomes.Reaped) -> None:
        words = {
            outcomes.DELETED: "deleted",
            outcomes.DRY_RUN: "would be deleted",
            outcomes.FAILED: "FAILED",
        }
        if each.waits:
            self.stdout.write(f"{each.label}: is not deleted now. {each.waits}")
        else:
            self.stdout.write(f"{each.label}: {words[each.action]}")
        if each.error:
            self.stdout.write(f"  {each.error}")
        if each.retention_days is not None:
            self.stdout.write(
                f"  asked for {each.requested_at:%Y-%m-%d %H:%M}, kept {each.retention_days} days, "
                f"due {each.due_at:%Y-%m-%d %H:%M} UTC"
            )
        if each.waits:
            self.stdout.write("  If it were due, this would go:")
        for line in blast.in_words(each.blast):
            self.stdout.write(f"  {line}")
        if each.receipt:
            self.stdout.write(f"  receipt {each.receipt} (manage.py deletion_receipt {each.label})")
