"""The parts of an organisation's page, one address each: ?tab=people. Only the part that is looked
at is read, so that the page costs little however much there is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse

from audit.models import Event
from pulsecloud.staff import badges
from pulsecloud.staff.organisation_verbs import LIFT, PROVISION_AGAIN, RESTORE
from pulsecloud.staff.verbs import Verb, allowed
from tenants import why
from tenants.models import Backup, BackupKind, BackupState, Membership, Organisation, User

KEY: Final = "tab"
FOR: Final = "for"  # on the first tab: the id of the member to ask the checks for
OVERVIEW, TIMELINE, PEOPLE, BILLING, RELAY, BACKUPS, AUDIT = TABS = (
    "overview", "timeline", "people", "billing", "relay", "backups", "audit",
)  # fmt: skip
EVENTS_SHOWN: Final = 50
MILESTONES_SHOWN: Final = 100

# Actions of the trail that make up its life, in words; others that begin with org_ as they are.
_WORDS: Final = {
    "org_requested": ("Asked for", badges.CALM),
    "org_mailbox_proved": ("Mailbox proved", badges.CALM),
    "org_request_expired": ("Mailbox never proved, request expired", badges.QUIET),
    "org_provisioning_failed": ("Setting it up failed", badges.BAD),
    "org_provisioning_retried": ("Set up again", badges.CALM),
    "org_activated": ("Became active", badges.GOOD),
    "org_suspended": ("Suspended", badges.WARN),
    "org_suspension_taken_over": ("Suspension taken over by the platform", badges.WARN),
    "org_unsuspended": ("Suspension lifted", badges.GOOD),
    "org_soft_deleted": ("Deletion asked for", badges.WARN),
    "org_deletion_notice": ("Told of the deletion to come", badges.WARN),
    "org_deletion_put_off": ("Deletion put off", badges.CALM),
    "org_restored": ("Deletion cancelled", badges.GOOD),
    "org_purge_started": ("Deleting began", badges.BAD),
    "org_reaping_failed": ("Deleting failed, to be tried again", badges.BAD),
    "org_purged": ("Deleted", badges.BAD),
    "org_backed_up": ("Backed up", badges.CALM),
    "org_data_restored": ("Data restored from a backup", badges.WARN),
    "org_renamed": ("Renamed", badges.CALM),
    "runtime_switched": ("Runtime switched", badges.CALM),
    "relay_registered_again": ("Registered at the relay again", badges.CALM),
    "trial_started": ("Trial began", badges.CALM),
}
_OPENING: Final = [verb.name for verb in (LIFT, RESTORE, PROVISION_AGAIN)]
_OTHERS: Final = [name for name in _WORDS if not name.startswith("org_")]


@dataclass(frozen=True)
class Tab:
    title: str
    address: str
    current: bool


@dataclass(frozen=True)
class Milestone:
    at: datetime
    title: str
    tone: str
    by: str
    reason: str
    address: str


@dataclass(frozen=True)
class Way:
    """A verb that could help, as a button."""

    title: str
    address: str


def chosen(request: HttpRequest) -> str:
    wanted = request.GET.get(KEY, "")
    return wanted if wanted in TABS else OVERVIEW


def tabs(organisation: Organisation, current: str) -> list[Tab]:
    page = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    return [
        Tab(
            name.capitalize(), page if name == OVERVIEW else f"{page}?{KEY}={name}", name == current
        )
        for name in TABS
    ]


def context(request: HttpRequest, organisation: Organisation, verbs: Any) -> dict[str, Any]:
    """What the chosen part shows beside its fields and inlines."""
    tab = chosen(request)
    found: dict[str, Any] = {"tab": tab, "tabs": tabs(organisation, tab)}
    trail = reverse("admin:audit_event_changelist") + f"?{urlencode({'q': organisation.pk})}"
    if tab == OVERVIEW:
        found |= _why(request, organisation, verbs)
    elif tab == TIMELINE:
        found["milestones"] = list(_milestones(organisation))
    elif tab == BACKUPS:
        found |= _backups(organisation)
    elif tab == AUDIT:
        events = Event.objects.filter(organisation=organisation.pk).order_by("-id")
        found |= {"events": events[:EVENTS_SHOWN], "all_events": trail}
    return found


def _why(request: HttpRequest, organisation: Organisation, verbs: Any) -> dict[str, Any]:
    """`diagnosis` is None while the database does not answer."""
    person = _member(organisation, request.GET.get(FOR, ""))
    try:
        diagnosis = why.diagnose(organisation, person=person)
    except DatabaseError:
        return {"diagnosis": None}
    word, tone, meaning = badges.relay_words(organisation)
    return {
        "diagnosis": diagnosis,
        "for_owner": person is None,
        "ways": list(_ways(request, organisation, verbs)) if diagnosis.blocked else [],
        "phones_badge": badges.badge(word, tone) if word else "",
        "phones_meaning": meaning,
    }


def _ways(request: HttpRequest, organisation: Organisation, verbs: Any) -> Iterator[Way]:
    """Verbs that apply now and open it again."""
    page = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    verb: Verb
    for verb in verbs:
        if verb.name in _OPENING and not verb.unfit(organisation) and allowed(request, verb):
            yield Way(verb.title, page.replace("/change/", f"/{verb.name}/"))


def _member(organisation: Organisation, person_id: str) -> User | None:
    """The member of that id; None for nobody or nonsense, which means the owner."""
    try:
        wanted = uuid.UUID(person_id)
    except ValueError:
        return None
    seats = Membership.objects.filter(organisation=organisation, user_id=wanted)
    seat = seats.select_related("user").first()
    return seat.user if seat else None


def _milestones(organisation: Organisation) -> Iterator[Milestone]:
    of_it = Event.objects.filter(organisation=organisation.pk)
    events = of_it.filter(action__startswith="org_") | of_it.filter(action__in=_OTHERS)
    for event in events.order_by("-id")[:MILESTONES_SHOWN]:
        plain = event.action.removeprefix("org_").replace("_", " ").capitalize()
        title, tone = _WORDS.get(event.action, (plain, badges.QUIET))
        yield Milestone(
            event.at,
            title,
            tone if event.success else badges.BAD,
            event.actor_label or event.actor_kind,
            event.reason,
            reverse("admin:audit_event_change", args=[event.pk]),
        )


def _backups(organisation: Organisation) -> dict[str, Any]:
    """When it was backed up last, and where the rest stands once that list is there."""
    kept = Backup.objects.filter(organisation=organisation, state=BackupState.DONE)
    last = kept.exclude(kind=BackupKind.BEFORE_RESTORE).order_by("-made_at").first()
    address = ""
    if admin.site.is_registered(Backup):
        query = urlencode({"q": organisation.label})
        address = reverse("admin:tenants_backup_changelist") + f"?{query}"
    return {"last_backup": last, "all_backups": address}
