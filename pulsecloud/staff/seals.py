"""The seals of the audit trail: batches of events, chained and signed, and a button that checks one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from audit import canonical, keys, sealing, verify
from audit.actors import Actor
from audit.models import Batch
from pulsecloud.staff import badges, filters
from pulsecloud.staff.verbs import Verb, VerbAdmin, VerbRefused
from pulsecloud.staff.words import ago, code, exactly, link


def _verify(batch: Batch, actor: Actor, reason: str) -> None:
    findings = verify.batch(batch.pk)
    if findings:
        raise VerbRefused(" ".join(finding.message for finding in findings[:20]))


VERIFY = Verb(
    name="verify",
    title="Verify now",
    done="As it was sealed",
    permission="audit.view_batch",
    consequences=(
        "Every event of the seal is hashed again and compared, and the seal's signature and its "
        "link to the one before are checked. Nothing is changed.",
        "The whole trail, and whether its end was cut off, is for `manage.py audit verify --head`.",
    ),
    unfit=lambda batch: "",
    run=_verify,
    icon="verified",
)


class WhichKey(filters.Question):
    title = "which key signed it?"
    parameter_name = "key"

    def answers(self) -> dict[str, tuple[str, Q]]:
        try:
            own = keys.own().key_id
        except keys.KeyMissing:
            return {}
        return {"own": ("today's key", Q(key_id=own)), "other": ("another one", ~Q(key_id=own))}


@admin.register(Batch)
class BatchAdmin(VerbAdmin):
    list_display = ("name", "sealed", "count", "key")
    list_display_links = ("name",)
    list_filter = (WhichKey, filters.when("sealed_at"))
    search_fields = ("hash",)
    search_help_text = "Number of a seal, or a whole head as it was noted"
    list_before_template = "staff/seals_state.html"
    ordering = ("-number",)
    verbs = (VERIFY,)
    fields = readonly_fields = (
        "name",
        "sealed_exactly",
        "events",
        "key",
        "head",
        "follows",
        "signature_text",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Only what an index can find."""
        term = search_term.strip()
        if term.isascii() and term.isdigit() and len(term) < 19:
            return queryset.filter(pk=int(term)), False
        try:
            number, hashed = canonical.parse_head(term)
        except ValueError:
            return (queryset.none() if term else queryset), False
        rows = queryset.filter(hash=hashed)
        return (rows if number is None else rows.filter(pk=number)), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        more = {"backlog": sealing.backlog()}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @admin.display(description="seal", ordering="number")
    def name(self, batch: Batch) -> str:
        return code(f"#{batch.number}")

    @admin.display(description="sealed", ordering="sealed_at")
    def sealed(self, batch: Batch) -> str:
        return ago(batch.sealed_at)

    @admin.display(description="sealed")
    def sealed_exactly(self, batch: Batch) -> str:
        return exactly(batch.sealed_at)

    @admin.display(description="events")
    def events(self, batch: Batch) -> str:
        address = reverse("admin:audit_event_changelist") + "?" + urlencode({"q": f"#{batch.pk}"})
        return link(address, f"{batch.count} events")

    @admin.display(description="key")
    def key(self, batch: Batch) -> str:
        try:
            own = keys.own().key_id == batch.key_id
        except keys.KeyMissing:
            own = False
        return code(batch.key_id) if own else badges.badge(f"other key {batch.key_id}", badges.WARN)

    @admin.display(description="head")
    def head(self, batch: Batch) -> str:
        return code(canonical.head_text(batch), breaks=True)

    @admin.display(description="hash of the one before")
    def follows(self, batch: Batch) -> str:
        return code(batch.previous_hash, breaks=True)

    @admin.display(description="signature")
    def signature_text(self, batch: Batch) -> str:
        return code(batch.signature, breaks=True)
