"""The audit trail, as staff read it. Nobody writes it here; a trigger refuses changes anyway."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse

from audit.models import Event
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly, link, two_lines
from tenants.models import Organisation

_TONES = {"staff": badges.WARN, "system": badges.QUIET, "anonymous": badges.QUIET}


class WhoDidIt(filters.Question):
    title = "who did it?"
    parameter_name = "who"

    def answers(self) -> dict[str, tuple[str, Q]]:
        words = {
            "staff": "staff",
            "person": "a customer's person",
            "token": "an API token",
            "system": "the software",
            "anonymous": "nobody known",
        }
        return {value: (text, Q(actor_kind=value)) for value, text in words.items()}


@admin.register(Event)
class EventAdmin(StaffAdmin):
    list_display = ("when", "what", "who", "where", "subject", "why")
    list_display_links = ("what",)
    list_filter = (WhoDidIt, filters.when("at"))
    search_fields = ("action",)
    search_help_text = "Start of an action, an address, or a whole id of an organisation or event"
    ordering = ("-id",)
    readonly_fields = (
        "exact",
        "what",
        "who",
        "where",
        "subject",
        "reason",
        "before_text",
        "after_text",
        "address",
        "request_ref",
        "event_id",
    )
    fields = (
        ("what", "exact"),
        ("who", "where"),
        ("subject",),
        ("reason",),
        ("before_text", "after_text"),
        ("address", "request_ref"),
        ("event_id",),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """The label by sub-query: the trail has no foreign key, because it outlives what it names."""
        label = Organisation.objects.filter(pk=OuterRef("organisation")).values("label")[:1]
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows.annotate(label=Subquery(label))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Only what an index can find: this is the biggest table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            whole = uuid.UUID(term)
        except ValueError:
            organisations = Organisation.objects.filter(label=term.lower()).values("pk")
            people = Q(actor_label__iexact=term) if "@" in term else Q()
            return queryset.filter(
                people or Q(action__startswith=term.lower()) | Q(organisation__in=organisations)
            ), False
        return queryset.filter(Q(organisation=whole) | Q(uuid=whole)), False

    @admin.display(description="when", ordering="id")
    def when(self, event: Event) -> str:
        return ago(event.at)

    @admin.display(description="when")
    def exact(self, event: Event) -> str:
        return exactly(event.at)

    @admin.display(description="action", ordering="action")
    def what(self, event: Event) -> str:
        return code(event.action)

    @admin.display(description="by")
    def who(self, event: Event) -> str:
        tone = _TONES.get(event.actor_kind, badges.CALM)
        return two_lines(badges.badge(event.actor_kind, tone), event.actor_label)

    @admin.display(description="organisation")
    def where(self, event: Event) -> str:
        if event.organisation is None:
            return DASH
        label = getattr(event, "label", None)
        if label is None:
            return code(str(event.organisation))
        return link(reverse("admin:tenants_organisation_change", args=[event.organisation]), label)

    @admin.display(description="reason")
    def why(self, event: Event) -> str:
        return event.reason[:120] or DASH

    @admin.display(description="before")
    def before_text(self, event: Event) -> str:
        return _json(event.before)

    @admin.display(description="after")
    def after_text(self, event: Event) -> str:
        return _json(event.after)

    @admin.display(description="request id")
    def request_ref(self, event: Event) -> str:
        return code(event.request_id)

    @admin.display(description="event id")
    def event_id(self, event: Event) -> str:
        return code(str(event.uuid))


def _json(value: Any) -> str:
    if not value:
        return DASH
    return code(json.dumps(value, indent=2, ensure_ascii=False), breaks=True)
