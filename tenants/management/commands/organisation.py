"""`manage.py organisation`: look at organisations, and suspend, lift, delete and restore them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.actors import Actor
from tenants import lifecycle, why
from tenants.hosts import organisation_at
from tenants.models import Organisation, Removal, State, SuspendedBy
from tenants.models.organisations import RETENTION_DAYS, RETENTION_LEAST, RETENTION_MOST
from tenants.states import ENDED

REFUSED: Final = 1
UNKNOWN: Final = 2
_ACTOR: Final = Actor.system("manage.py organisation")


class Command(BaseCommand):
    help = (
        "Shows organisations, and suspends, lifts, deletes and restores them as the platform. "
        "Exit code 0: done, or nothing is wrong. 1: the organisation's state does not allow it; "
        "for `why`, something blocks it. 2: there is no such organisation, or the call is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listing = _verb(verbs, "list", "organisations, newest first", label=False)
        listing.add_argument("--state", choices=State.values, help="only those in this state")
        listing.add_argument("--canaries", action="store_true", help="canaries too")
        listing.add_argument("--limit", type=int, default=100, help="at most so many (100)")
        _verb(verbs, "show", "everything about one")
        _verb(verbs, "why", "what stops its people, and how to lift it")
        _deciding(verbs, "suspend", "shut it off; only the platform lifts that again")
        _deciding(verbs, "take-over", "make its owner's or billing's suspension the platform's")
        _deciding(verbs, "lift", "end a suspension, whoever asked for it")
        delete = _deciding(verbs, "delete", "shut it off and delete it when its retention is over")
        delete.add_argument(
            "--retention-days",
            type=int,
            default=RETENTION_DAYS,
            metavar="N",
            help=f"how long it can be restored, {RETENTION_LEAST} to {RETENTION_MOST} "
            f"({RETENTION_DAYS})",
        )
        _deciding(verbs, "undelete", "cancel its deletion; it is again what it was before")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, "_" + options["verb"].replace("-", "_"))(options)

    def _list(self, options: dict[str, Any]) -> None:
        found = Organisation.objects.select_related("removal").order_by("-created_at", "pk")
        if options["state"]:
            found = found.filter(state=options["state"])
        else:
            found = found.exclude(state__in=ENDED)
        if not options["canaries"]:
            found = found.filter(canary=False)
        rows = [_facts(each) for each in found[: max(0, options["limit"])]]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in rows:
            until = f"until {row['due_at']}" if row["due_at"] else ""
            self.stdout.write(
                f"{row['label']:<40}  {row['state']:<17} {row['owner']:<34} {until}".rstrip()
            )
        self.stdout.write(f"{len(rows)} organisation{'' if len(rows) == 1 else 's'}")

    def _show(self, options: dict[str, Any]) -> None:
        self._tell(_facts(_organisation(options["label"])), as_json=options["json"])

    def _why(self, options: dict[str, Any]) -> None:
        diagnosis = why.diagnose(_organisation(options["label"]))
        if options["json"]:
            self.stdout.write(json.dumps(diagnosis.as_dict(), indent=2, default=str))
        else:
            self.stdout.write("\n".join(diagnosis.lines()))
        if diagnosis.blocked:
            raise SystemExit(REFUSED)

    def _suspend(self, options: dict[str, Any]) -> None:
        self._decide(options, lifecycle.suspend)

    def _take_over(self, options: dict[str, Any]) -> None:
        self._decide(options, lifecycle.take_over)

    def _lift(self, options: dict[str, Any]) -> None:
        self._decide(options, lifecycle.unsuspend)

    def _delete(self, options: dict[str, Any]) -> None:
        self._decide(options, lifecycle.soft_delete, retention_days=options["retention_days"])

    def _undelete(self, options: dict[str, Any]) -> None:
        self._decide(options, lifecycle.restore)

    def _decide(
        self, options: dict[str, Any], verb: Callable[..., Organisation], **more: Any
    ) -> None:
        """Calls a verb as the platform; with --dry-run everything is checked and nothing kept."""
        reason = " ".join(options["reason"].split())
        if not reason:
            raise CommandError("--reason must say why; it stays in the audit trail.", returncode=2)
        organisation, dry = _organisation(options["label"]), bool(options["dry_run"])
        try:
            with transaction.atomic():
                changed = verb(
                    organisation=organisation,
                    by=SuspendedBy.PLATFORM,
                    actor=_ACTOR,
                    reason=reason,
                    **more,
                )
                facts = _facts(changed)
                transaction.set_rollback(dry)
        except lifecycle.TransitionRefused as refused:
            wrong = refused.code == "invalid_retention_days"
            raise CommandError(
                f"{refused} ({refused.code})", returncode=UNKNOWN if wrong else REFUSED
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps({**facts, "dry_run": dry}, indent=2))
            return
        would = "would be" if dry else "is"
        until = f", to be deleted on {facts['due_at']}" if facts["due_at"] else ""
        state = changed.get_state_display().lower()
        self.stdout.write(f"{changed.label} {would} {state}{until}")

    def _tell(self, facts: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(facts, indent=2))
            return
        for name, value in facts.items():
            shown = "–" if value in (None, "") else value
            self.stdout.write(f"{name.replace('_', ' '):<22}{shown}")


def _verb(verbs: Any, name: str, text: str, *, label: bool = True) -> Any:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    if label:
        parser.add_argument("label", metavar="LABEL", help="the first part of its address")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _deciding(verbs: Any, name: str, text: str) -> Any:
    parser = _verb(verbs, name, text)
    parser.add_argument(
        "--reason", required=True, help="for the audit trail, which its owner reads"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, keep nothing")
    return parser


def _organisation(label: str) -> Organisation:
    """The one that has the label, or else had it last."""
    found = organisation_at(label)
    if found is None:
        found = Organisation.objects.filter(label=label).order_by("-created_at").first()
    if found is None:
        raise CommandError(f"There is no organisation {label}.", returncode=UNKNOWN)
    return found


def _facts(organisation: Organisation) -> dict[str, Any]:
    removal: Removal | None = getattr(organisation, "removal", None)
    return {
        "label": organisation.label,
        "id": str(organisation.pk),
        "name": organisation.display_name,
        "host": organisation.instance_host,
        "state": organisation.state,
        "owner": organisation.owner_email,
        "runtime": organisation.runtime,
        "canary": organisation.canary,
        "created_at": _time(organisation.created_at),
        "provisioned_at": _time(organisation.provisioned_at),
        "suspended_at": _time(organisation.suspended_at),
        "suspended_by": organisation.suspended_by or None,
        "suspend_reason": organisation.suspend_reason or None,
        "deletion_requested_at": _time(organisation.deletion_requested_at),
        "deletion_requested_by": removal.requested_by if removal else None,
        "retention_days": organisation.retention_days,
        "due_at": _time(removal.due_at) if removal else None,
        "deleted_at": _time(organisation.deleted_at),
        "failure": organisation.failure or None,
    }


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
