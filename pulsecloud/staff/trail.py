"""The audit trail, as staff read and export it. Nobody writes it here; a trigger refuses changes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import path, reverse
from django.utils import timezone

from audit import export, trail, verify
from audit.models import Event, SealedEvent
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.verbs import staff_actor
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


class DidItSucceed(filters.Question):
    title = "did it succeed?"
    parameter_name = "success"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "yes": ("yes", Q(success=True)),
            "no": ("no, refused or failed", Q(success=False)),
        }


class WhereDidItHappen(filters.Question):
    title = "whose is it?"
    parameter_name = "whose"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "organisation": ("an organisation's", Q(organisation__isnull=False)),
            "platform": ("the platform's own", Q(organisation__isnull=True)),
        }


@admin.register(Event)
class EventAdmin(StaffAdmin):
    list_display = ("when", "what", "who", "where", "subject", "why", "seal")
    list_display_links = ("what",)
    list_filter = (WhoDidIt, DidItSucceed, WhereDidItHappen, filters.when("at"))
    list_before_template = "staff/trail_export.html"
    search_fields = ("action",)
    search_help_text = (
        "Start of an action, an address, a whole id of an organisation or event, #seal"
    )
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
        "request_path",
        "outcome",
        "seal_checked",
        "event_id",
    )
    fields = (
        ("what", "exact"),
        ("who", "where"),
        ("subject",),
        ("reason",),
        ("before_text", "after_text"),
        ("outcome", "address"),
        ("request_ref", "request_path"),
        ("seal_checked", "event_id"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """The label by sub-query: the trail has no foreign key, because it outlives what it names.
        So is the seal, which knows events by their number."""
        label = Organisation.objects.filter(pk=OuterRef("organisation")).values("label")[:1]
        place = SealedEvent.objects.filter(event=OuterRef("pk")).values("batch")[:1]
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows.annotate(label=Subquery(label), batch=Subquery(place))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.export_view)
        return [
            path("export/<str:kind>", view, name="audit_event_export"),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """What the list shows with these filters, all pages of it, streamed; recorded like every
        verb."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in export.FORMATS:
            raise Http404
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            raise Http404 from None
        newest = Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0
        trail.record(
            action="audit_exported",
            actor=staff_actor(request),
            after={"format": kind, "filters": request.GET.urlencode()},
        )
        records = export.records(rows.filter(pk__lte=newest), export.full_record)
        answer = StreamingHttpResponse(
            export.written(records, kind, export.FULL), content_type=export.FORMATS[kind]
        )
        name = f"audit-{timezone.now():%Y-%m-%d}.{kind}"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Only what an index can find: this is the biggest table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term[:1] == "#" and term[1:].isascii() and term[1:].isdigit() and len(term) < 19:
            places = SealedEvent.objects.filter(batch=int(term[1:])).values("event")
            return queryset.filter(pk__in=places), False
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
        if event.success:
            return code(event.action)
        return two_lines(code(event.action), badges.badge("refused", badges.BAD))

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

    @admin.display(description="seal")
    def seal(self, event: Event) -> str:
        number = getattr(event, "batch", None)
        if number is None:
            return badges.badge("not yet", badges.QUIET, "The worker seals every minute.")
        return link(reverse("admin:audit_batch_change", args=[number]), f"Seal {number}")

    @admin.display(description="seal, checked now")
    def seal_checked(self, event: Event) -> str:
        sealed, findings = verify.event(event.pk)
        if not sealed:
            return badges.badge("not sealed yet", badges.QUIET)
        if findings:
            said = " ".join(finding.message for finding in findings)
            return two_lines(badges.badge("changed", badges.BAD), said)
        return two_lines(badges.badge("as it was recorded", badges.GOOD), self.seal(event))

    @admin.display(description="outcome")
    def outcome(self, event: Event) -> str:
        done = event.success
        return badges.badge("done" if done else "refused", badges.GOOD if done else badges.BAD)

    @admin.display(description="path of the request")
    def request_path(self, event: Event) -> str:
        return code(event.path, breaks=True)

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
