"""Readiness records: what each run of `manage.py prove` showed on the live system."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q

from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.last_proof import summary
from pulsecloud.staff.words import ago, exactly
from tenants.models import ReadinessRecord


class DidItPass(filters.Question):
    title = "did it pass?"
    parameter_name = "passed"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {"yes": ("yes", Q(passed=True)), "no": ("no, blocked", Q(passed=False))}


@admin.register(ReadinessRecord)
class ProofAdmin(StaffAdmin):
    list_display = ("outcome", "when", "found", "took", "version")
    list_display_links = ("outcome",)
    list_filter = (DidItPass, filters.when("started_at"))
    ordering = ("-started_at",)
    change_form_template = "staff/proof.html"
    fields = readonly_fields = ("outcome", "started", "took", "version")

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
