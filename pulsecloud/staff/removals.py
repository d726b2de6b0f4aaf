"""Removals: what is going to be deleted when, what that takes, what failed; and the receipts."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from audit.actors import Actor
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.verbs import Verb, VerbAdmin, VerbRefused
from pulsecloud.staff.words import DASH, ago, code, exactly, link, two_lines
from tenants.deletion import blast, pages, planning, receipts
from tenants.effects import effects
from tenants.models import DeletionReceipt, Removal, State
from tenants.states import TransitionRefused

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_NOTICES: Final = {
    "requested": "when it was asked for",
    "week": "a week before",
    "day": "a day before",
}
_STEPS: Final = {
    "relay": "Runtime and relay let go",
    "tokens": "Devices and tokens ended",
    "entitlement": "Subscription and leases forgotten",
    "caches": "Caches and request counts forgotten",
    "people": "People let go, sessions ended",
    "schema": "Tables dropped",
}


def _hurry(removal: Removal, actor: Actor, reason: str) -> None:
    try:
        planning.hurry(removal=removal, actor=actor, reason=reason)
    except TransitionRefused as refused:
        raise VerbRefused(str(refused)) from refused


AGAIN = Verb(
    name="again",
    title="Try again now",
    done="Taken up within minutes",
    permission="tenants.change_removal",
    consequences=(
        "The worker goes on with it at its next round instead of waiting. What was removed stays "
        "removed; nothing is removed twice.",
        "One whose deletion has not begun is still copied first, and can still be restored until "
        "then.",
    ),
    unfit=lambda removal: "" if removal.next_try_at else "does not wait for another try",
    run=_hurry,
    icon="replay",
)


def _put_off(removal: Removal, actor: Actor, reason: str, *, days: int) -> None:
    try:
        planning.put_off(
            organisation=removal.organisation,
            days=days,
            actor=actor,
            reason=reason,
            seen=removal.due_at,
        )
    except TransitionRefused as refused:
        raise VerbRefused(str(refused)) from refused


def _days() -> dict[str, forms.Field]:
    return {
        "days": forms.IntegerField(
            min_value=1,
            max_value=planning.MOST_PUT_OFF,
            initial=7,
            widget=UnfoldAdminIntegerFieldWidget(),
            help_text="Counted from its date, or from now when it is due already.",
        )
    }


PUT_OFF = Verb(
    name="put_off",
    title="Put off",
    done="Put off",
    permission="tenants.change_removal",
    consequences=(
        "It is deleted that much later, and can be restored until then. It stays shut.",
        "Its owner is reminded again before the new date.",
    ),
    unfit=lambda removal: "is being deleted" if removal.organisation.state == State.PURGING else "",
    seen=lambda removal: f"due on {removal.due_at:%Y-%m-%d at %H:%M:%S} UTC",
    run=_put_off,
    icon="event_repeat",
    reason_needed=True,
    fields=_days,
)


def _waiting_for(removal: Removal) -> tuple[str, str, str]:
    """(word, tone, explanation)"""
    if removal.error and removal.next_try_at:
        return "failed", badges.BAD, removal.error
    if removal.organisation.state == State.PURGING:
        return "being deleted", badges.WARN, f"{len(removal.done)} of {len(effects())} steps done"
    if removal.due_at <= timezone.now():
        return "due", badges.WARN, "The reaper takes it up at its next round."
    return "in retention", badges.CALM, "It can be restored until then."


class WhatIsIt(filters.Question):
    title = "what is it waiting for?"
    parameter_name = "waits"

    def answers(self) -> dict[str, tuple[str, Q]]:
        purging = Q(organisation__state=State.PURGING)
        failed = ~Q(error="") & Q(next_try_at__isnull=False)
        due = Q(due_at__lte=timezone.now())
        return {
            "time": ("its retention", ~purging & ~due),
            "due": ("the reaper: it is due", (due | purging) & ~failed),
            "failed": ("another try: it failed", failed),
        }


@admin.register(Removal)
class RemovalAdmin(VerbAdmin):
    list_display = ("name", "waits", "due", "asked", "told", "tries")
    list_display_links = ("name",)
    list_select_related = ("organisation",)
    list_filter = (WhatIsIt,)
    search_fields = ("organisation__label", "organisation__display_name")
    search_help_text = "Label or name"
    ordering = ("due_at",)
    verbs = (PUT_OFF, AGAIN)
    change_form_template = "staff/removal.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("organisation_page", "waits"),
                    ("due_exactly", "asked_exactly"),
                    ("tries", "next_try"),
                    "failure",
                )
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [
            "organisation_page", "waits", "due_exactly", "asked_exactly", "tries", "next_try",
            "failure",
        ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Removal]:
        return super().get_queryset(request).select_related("organisation")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        removal = self.get_object(request, object_id)
        more = {} if removal is None else _shown(removal)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        """Whoever watched one is led on to what became of it."""
        number = int(object_id) if _NUMBER.fullmatch(object_id) else None
        receipt = None if number is None else receipts.of_removal(number)
        if receipt is not None and request.user.has_perm("tenants.view_deletionreceipt"):
            messages.info(request, f"{receipt.label} was deleted. This is the receipt.")
            page = reverse("admin:tenants_deletionreceipt_change", args=[receipt.pk])
            return HttpResponseRedirect(page)
        messages.warning(
            request,
            "This removal is over: it was carried out, then the receipt of that organisation tells "
            "of it, or it was cancelled. These are the ones to come.",
        )
        return HttpResponseRedirect(reverse("admin:tenants_removal_changelist"))

    @admin.display(description="organisation", ordering="organisation__label")
    def name(self, removal: Removal) -> str:
        return two_lines(removal.organisation.display_name, removal.organisation.label)

    @admin.display(description="organisation")
    def organisation_page(self, removal: Removal) -> str:
        address = reverse("admin:tenants_organisation_change", args=[removal.organisation_id])
        return link(address, str(removal.organisation))

    @admin.display(description="now")
    def waits(self, removal: Removal) -> str:
        return badges.badge(*_waiting_for(removal))

    @admin.display(description="due", ordering="due_at")
    def due(self, removal: Removal) -> str:
        return ago(removal.due_at)

    @admin.display(description="deleted not before")
    def due_exactly(self, removal: Removal) -> str:
        return exactly(removal.due_at)

    @admin.display(description="asked for", ordering="requested_at")
    def asked(self, removal: Removal) -> str:
        return ago(removal.requested_at)

    @admin.display(description="asked for")
    def asked_exactly(self, removal: Removal) -> str:
        return exactly(removal.requested_at)

    @admin.display(description="owner told")
    def told(self, removal: Removal) -> str:
        if not removal.notices:
            return badges.badge("not yet", badges.WARN)
        return ago(parse_datetime(removal.notices[-1]["at"]))

    @admin.display(description="tries", ordering="attempts")
    def tries(self, removal: Removal) -> str:
        return str(removal.attempts)

    @admin.display(description="next try")
    def next_try(self, removal: Removal) -> str:
        return exactly(removal.next_try_at)

    @admin.display(description="what went wrong last")
    def failure(self, removal: Removal) -> str:
        return removal.error or DASH


def _shown(removal: Removal) -> dict[str, Any]:
    """What goes (counted now, until the deletion has begun), how far it is, what the owner was told."""
    begun = removal.organisation.state == State.PURGING
    counts = removal.blast if begun else blast.blast_radius(removal.organisation).as_json()
    return {
        "begun": begun,
        "lines": blast.in_words(counts),
        "tables": counts.get("tables", {}),
        "steps": [
            (_STEPS.get(effect.name, effect.name), effect.name in removal.done)
            for effect in effects()
        ],
        "notices": [
            (_NOTICES.get(each["kind"], each["kind"]), parse_datetime(each["at"]))
            for each in removal.notices
        ],
    }


@admin.register(DeletionReceipt)
class DeletionReceiptAdmin(StaffAdmin):
    list_display = ("name", "deleted", "copies", "key")
    list_display_links = ("name",)
    list_filter = (filters.when("made_at"),)
    search_fields = ("label",)
    search_help_text = "Label"
    ordering = ("-made_at",)
    change_form_template = "staff/receipt.html"
    fields = readonly_fields = ("name", "organisation_page", "deleted_exactly", "copies_exactly")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeletionReceipt]:
        return super().get_queryset(request).select_related("organisation")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        receipt = self.get_object(request, object_id)
        more = {} if receipt is None else pages.shown(receipt)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    @admin.display(description="organisation", ordering="label")
    def name(self, receipt: DeletionReceipt) -> str:
        return code(receipt.label)

    @admin.display(description="tombstone")
    def organisation_page(self, receipt: DeletionReceipt) -> str:
        address = reverse("admin:tenants_organisation_change", args=[receipt.organisation_id])
        return link(address, str(receipt.organisation))

    @admin.display(description="deleted", ordering="made_at")
    def deleted(self, receipt: DeletionReceipt) -> str:
        return ago(receipt.made_at)

    @admin.display(description="deleted")
    def deleted_exactly(self, receipt: DeletionReceipt) -> str:
        return exactly(receipt.made_at)

    @admin.display(description="last copy ends", ordering="copies_until")
    def copies(self, receipt: DeletionReceipt) -> str:
        return ago(receipt.copies_until) if receipt.copies_until else "no copies"

    @admin.display(description="last copy ends")
    def copies_exactly(self, receipt: DeletionReceipt) -> str:
        return exactly(receipt.copies_until) if receipt.copies_until else "no copies"

    @admin.display(description="signed with")
    def key(self, receipt: DeletionReceipt) -> str:
        return code(receipt.kid)
