"""Where each condition of the rollout looks: one function each, from a look to a finding.

`seen` is True or False when the software knows, None when it cannot know. An event of the trail
counts for KEPT days: what worked half a year ago says little about today.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.timesince import timesince

from audit import keys, sealing, verify
from audit.models import Event
from tenants import budgets
from tenants import limits as counters
from tenants.models import (
    DeletionReceipt,
    LimitWindow,
    Organisation,
    ReadinessKind,
    ReadinessRecord,
    Removal,
    Rollout,
    State,
)
from tenants.rollout import prometheus

PROOF_FRESH: Final = timedelta(hours=24)
DRILL_FRESH: Final = timedelta(days=7)
WATCHED: Final = timedelta(hours=48)
KEPT: Final = timedelta(days=90)
RECEIPT_FRESH: Final = timedelta(days=30)
OVERDUE: Final = timedelta(hours=24)  # a deletion that late is stuck; the reaper runs every 5 min
LOOKED_AT: Final = 1000  # organisations; nobody knows which of them were asked something
PLAYBOOKS: Final = ("P1", "P2", "P3", "P4")


@dataclass(frozen=True)
class Evidence:
    """The row that shows it: its kind (a model's name, or `file`), key and moment."""

    kind: str
    id: str
    at: datetime | None = None


@dataclass(frozen=True)
class Finding:
    seen: bool | None
    says: str
    evidence: Evidence | None = None


@dataclass
class Look:
    """One look at everything: what two conditions or two stages ask for is asked for once."""

    found: dict[Callable[[Look], Finding], Finding] = field(default_factory=dict)

    def at(self, what: Callable[[Look], Finding]) -> Finding:
        if what not in self.found:
            self.found[what] = what(self)
        return self.found[what]


def proof(look: Look) -> Finding:
    found = _run(ReadinessKind.PROVE, PROOF_FRESH)
    record = _last(ReadinessKind.PROVE)
    if found.seen and record is not None and record.version not in ("", settings.VERSION):
        said = f"The last proof was of version {record.version}; this is {settings.VERSION}."
        return Finding(False, said, found.evidence)
    return found


def lifecycle_drill(look: Look) -> Finding:
    return _run(ReadinessKind.LIFECYCLE_DRILL, DRILL_FRESH)


def rbac_drill(look: Look) -> Finding:
    return _run(ReadinessKind.RBAC_DRILL, DRILL_FRESH)


def nothing_seen(look: Look) -> Finding:
    """Of what happens outside the product."""
    return Finding(None, "The software cannot see this. Nobody vouches for it at present.")


def billing_by_card(look: Look) -> Finding:
    return Finding(
        False,
        "Billing is not there yet: this release takes no payments, so general availability stays "
        "shut whatever else is met.",
    )


def playbooks(look: Look) -> Finding:
    file = Path(settings.BASE_DIR) / "docs" / "runbook.md"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return Finding(False, "docs/runbook.md is not there.")
    headings = " ".join(re.findall(r"^#+ .*$", text, re.MULTILINE))
    missing = [name for name in PLAYBOOKS if not re.search(rf"\b{name}\b", headings)]
    if missing:
        return Finding(False, f"docs/runbook.md has no {', '.join(missing)}.")
    return Finding(
        True, "docs/runbook.md has P1, P2, P3 and P4.", Evidence("file", "docs/runbook.md")
    )


def watched(look: Look) -> Finding:
    """Time since enabling is the worker's to say; what fired meanwhile is Prometheus'."""
    since = Rollout.objects.filter(pk=1).values_list("hosted_since", flat=True).first()
    if not settings.HOSTED_MODE or since is None:
        return Finding(False, "Hosted mode is off, or the worker has not seen it on yet.")
    shown = Evidence("rollout", "1", since)
    on_for = timezone.now() - since
    if on_for < WATCHED:
        left = timesince(timezone.now(), since + WATCHED)
        return Finding(False, f"Hosted mode came on {_ago(since)}; {left} to go.", shown)
    if not settings.PROMETHEUS_URL:
        return Finding(None, "No Prometheus is configured, so staff must say what they saw.", shown)
    try:
        saw = prometheus.watch(WATCHED)
    except prometheus.Unreachable as unreachable:
        return Finding(None, f"Prometheus could not be asked: {unreachable}", shown)
    return Finding(saw.quiet, saw.says, shown)


def suspension(look: Look) -> Finding:
    """The proof suspends a canary through the public doors and sees its sockets closed in time."""
    record = _last(ReadinessKind.PROVE)
    if record is None:
        return Finding(False, "No proof has run yet.")
    passed = {step.get("name") for step in record.steps if step.get("status") == "passed"}
    shown = Evidence("readinessrecord", str(record.pk), record.started_at)
    if "suspended" not in passed:
        return Finding(False, "The last proof did not get as far as suspending its canary.", shown)
    if timezone.now() - record.started_at > DRILL_FRESH:
        return Finding(False, "The last proof that suspended a canary is over a week old.", shown)
    return Finding(True, "The last proof suspended its canary and saw it shut out.", shown)


def reaper(look: Look) -> Finding:
    now = timezone.now()
    stuck = Removal.objects.filter(due_at__lt=now - OVERDUE).order_by("due_at").first()
    if stuck is not None:
        shown = Evidence("removal", str(stuck.pk), stuck.due_at)
        return Finding(False, f"A deletion was due {timesince(stuck.due_at)} ago.", shown)
    receipt = DeletionReceipt.objects.order_by("-made_at").first()
    if receipt is None or now - receipt.made_at > RECEIPT_FRESH:
        return Finding(None, "Nothing was deleted in the last 30 days, so there is no receipt.")
    shown = Evidence("deletionreceipt", str(receipt.pk), receipt.made_at)
    return Finding(True, "The newest deletion left its receipt; none is overdue.", shown)


def mailboxes(look: Look) -> Finding:
    living = Q(state__in=(State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION))
    unproved = Organisation.objects.filter(living, mailbox_proved_at=None).order_by("pk").first()
    if unproved is not None:
        shown = Evidence("organisation", str(unproved.pk), unproved.created_at)
        return Finding(False, f"{unproved.label} is in use and its mailbox was not proved.", shown)
    newest = (
        Organisation.objects.exclude(mailbox_proved_at=None).order_by("-mailbox_proved_at").first()
    )
    if newest is None:
        return Finding(False, "Nobody has proved a mailbox yet.")
    shown = Evidence("organisation", str(newest.pk), newest.mailbox_proved_at)
    return Finding(True, "Every organisation in use has proved its mailbox.", shown)


def limits(look: Look) -> Finding:
    """Counts of organisations only. Every page counts its caller's address in the same table, the
    checklist included, which would be evidence for itself."""
    newest_active = Organisation.objects.filter(state=State.ACTIVE).order_by("-changed_at")
    keys = [
        counters.key_of(budgets.ORGANISATION, str(pk))
        for pk in newest_active.values_list("pk", flat=True)[:LOOKED_AT]
    ]
    newest = LimitWindow.objects.filter(key__in=keys).order_by("-window").first()
    if newest is None or timezone.now() - newest.window > PROOF_FRESH:
        return Finding(False, "No request to an organisation was counted in the last 24 hours.")
    shown = Evidence("limitwindow", str(newest.pk), newest.window)
    return Finding(True, "Requests are counted where every process sees the count.", shown)


def password_reset(look: Look) -> Finding:
    return _event(
        "password_reset_completed",
        "A password was reset by mail",
        "Nobody reset a password by mail",
    )


def single_sign_on(look: Look) -> Finding:
    return _event(
        "sso_oidc_role_assignment",
        "Single sign-on set the roles of somebody",
        "Single sign-on set nobody's roles",
    )


def audit_intact(look: Look) -> Finding:
    """The newest seal is checked now; the whole trail is `manage.py audit verify`'s to check."""
    head = sealing.head()
    if head is None:
        return Finding(False, "Nothing has been sealed yet.")
    shown = Evidence("batch", str(head.number), head.sealed_at)
    if sealing.backlog().stuck:
        return Finding(False, "Events are not being sealed.", shown)
    try:
        findings = verify.batch(head.number)
    except keys.KeyMissing:
        return Finding(False, "The key that seals the trail is missing.", shown)
    if findings:
        return Finding(False, findings[0].message, shown)
    return Finding(True, "Sealed up to now, and the newest seal is as it was made.", shown)


def _last(kind: str) -> ReadinessRecord | None:
    return ReadinessRecord.objects.filter(kind=kind).order_by("-started_at").first()


def _run(kind: ReadinessKind, fresh: timedelta) -> Finding:
    record = _last(kind)
    if record is None:
        return Finding(False, f"No {kind.label} has run yet." if kind == ReadinessKind.PROVE
                       else f"The {kind.label} have not run yet.")  # fmt: skip
    shown = Evidence("readinessrecord", str(record.pk), record.started_at)
    ago = _ago(record.started_at)
    if not record.passed:
        why = f": {record.blocking[0]}" if record.blocking else ""
        return Finding(False, f"Blocked {ago}{why}", shown)
    if timezone.now() - record.started_at > fresh:
        return Finding(False, f"Passed {ago}, which is too old.", shown)
    return Finding(True, f"Passed {ago}.", shown)


def _ago(moment: datetime) -> str:
    recent = timezone.now() - moment < timedelta(minutes=1)
    return "just now" if recent else f"{timesince(moment)} ago"


def _event(action: str, says: str, otherwise: str) -> Finding:
    event = Event.objects.filter(action=action, success=True).order_by("-id").first()
    if event is None or timezone.now() - event.at > KEPT:
        return Finding(None, f"{otherwise} in the last {KEPT.days} days.")
    return Finding(True, f"{says}, {_ago(event.at)}.", Evidence("event", str(event.pk), event.at))
