"""Readiness records: what each proof and each run of the drills showed on the live system."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.last_proof import is_fresh, last, summary
from pulsecloud.staff.words import ago, exactly
from tenants.models import ReadinessKind, ReadinessRecord


class DidItPass(filters.Question):
    title = "did it pass?"
    parameter_name = "passed"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {"yes": ("yes", Q(passed=True)), "no": ("no, blocked", Q(passed=False))}


class WhatWasTried(filters.Question):
    title = "what was tried?"
    parameter_name = "kind"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {value: (label, Q(kind=value)) for value, label in ReadinessKind.choices}


# What has to be run for a fresh record of each kind.
COMMANDS: Final = {
    ReadinessKind.PROVE: "manage.py prove",
    ReadinessKind.LIFECYCLE_DRILL: "manage.py drill lifecycle",
    ReadinessKind.RBAC_DRILL: "manage.py drill rbac",
}


@admin.register(ReadinessRecord)
class ProofAdmin(StaffAdmin):
    list_display = ("outcome", "kind", "when", "found", "took", "version")
    list_display_links = ("outcome",)
    list_filter = (WhatWasTried, DidItPass, filters.when("started_at"))
    list_before_template = "staff/last_proofs.html"
    ordering = ("-started_at",)
    change_form_template = "staff/proof.html"
    fields = readonly_fields = ("outcome", "kind", "started", "took", "version")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        more = {"standings": [_standing(kind) for kind in ReadinessKind]}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    @admin.display(description="outcome", ordering="passed")
    def outcome(self, record: ReadinessRecord) -> str:
        return badges.badge(
            "passed" if record.passed else "blocked", badges.GOOD if record.passed else badges.BAD
        )

    @admin.display(description="when", ordering="started_at")
    def when(self, record: ReadinessRecord) -> str:
        return ago(record.started_at)

    @admin.display(description="began")
    def started(self, record: ReadinessRecord) -> str:
        return exactly(record.started_at)

    @admin.display(description="what it showed")
    def found(self, record: ReadinessRecord) -> str:
        return summary(record)

    @admin.display(description="took", ordering="seconds")
    def took(self, record: ReadinessRecord) -> str:
        return f"{record.seconds:.1f} s"


def _standing(kind: ReadinessKind) -> dict[str, Any]:
    """What templates/staff/last_proofs.html says of the newest record of a kind."""
    record = last(kind)
    tone = badges.QUIET
    if record is not None:
        tone = badges.GOOD if record.passed else badges.BAD
        if record.passed and not is_fresh(record):
            tone = badges.WARN
    return {"kind": kind, "record": record, "tone": tone, "command": COMMANDS[kind]}
