"""Backups of single organisations: what there is, whether it is good, and putting one back."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from pulsecloud.staff import backup_verbs, badges, filters
from pulsecloud.staff.entitlement import organisation_link
from pulsecloud.staff.verbs import VerbAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly, two_lines
from tenants.models import Backup, BackupKind, BackupState

_TONES: Final[dict[str, str]] = {
    BackupState.RUNNING: badges.CALM,
    BackupState.DONE: badges.GOOD,
    BackupState.FAILED: badges.BAD,
    BackupState.REMOVED: badges.QUIET,
}


class CanItBePutBack(filters.Question):
    title = "can it be put back?"
    parameter_name = "good"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "yes": ("yes", Q(state=BackupState.DONE)),
            "failed": ("no, it failed", Q(state=BackupState.FAILED)),
            "running": ("not yet, it is being made", Q(state=BackupState.RUNNING)),
            "removed": ("no, its time is over", Q(state=BackupState.REMOVED)),
        }


class WhatWasItFor(filters.Question):
    title = "what was it made for?"
    parameter_name = "kind"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {value: (label, Q(kind=value)) for value, label in BackupKind.choices}


@admin.register(Backup)
class BackupAdmin(VerbAdmin):
    list_display = ("whose", "state_now", "made", "what_for", "size", "kept_until")
    list_display_links = ("whose",)
    list_select_related = ("organisation",)
    list_filter = (CanItBePutBack, WhatWasItFor, filters.when("made_at"))
    search_fields = ("organisation__label", "organisation__display_name")
    search_help_text = "Label or name of the organisation"
    ordering = ("-made_at",)
    change_form_template = "staff/backup.html"
    verbs = (backup_verbs.PUT_BACK,)
    fields = (
        ("organisation_page", "state_now"),
        ("made_exactly", "what_for"),
        ("kept_exactly", "size"),
        ("backup_id", "version"),
        ("file_name", "digest"),
        ("why",),
    )
    readonly_fields = (
        "organisation_page",
        "state_now",
        "made_exactly",
        "what_for",
        "kept_exactly",
        "size",
        "backup_id",
        "version",
        "file_name",
        "digest",
        "why",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("manifest").select_related("organisation")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One organisation at a time: each is read and compared before anybody is asked."""
        return {}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        backup = self.get_object(request, object_id)
        parts = backup.manifest.get("parts", {}) if backup is not None else {}
        more = {"parts": [{"name": name, **part} for name, part in sorted(parts.items())]}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    @admin.display(description="organisation", ordering="organisation__label")
    def whose(self, backup: Backup) -> str:
        return two_lines(backup.organisation.display_name, backup.organisation.label)

    @admin.display(description="organisation")
    def organisation_page(self, backup: Backup) -> str:
        return organisation_link(backup.organisation)

    @admin.display(description="state", ordering="state")
    def state_now(self, backup: Backup) -> str:
        return badges.badge(backup.get_state_display(), _TONES[backup.state], backup.error)

    @admin.display(description="made", ordering="made_at")
    def made(self, backup: Backup) -> str:
        return ago(backup.made_at)

    @admin.display(description="made")
    def made_exactly(self, backup: Backup) -> str:
        return exactly(backup.made_at)

    @admin.display(description="what for", ordering="kind")
    def what_for(self, backup: Backup) -> str:
        return backup.get_kind_display()

    @admin.display(description="size", ordering="bytes")
    def size(self, backup: Backup) -> str:
        if not backup.bytes:
            return DASH
        return f"{filesizeformat(backup.bytes)}, {backup.rows} rows"

    @admin.display(description="kept until", ordering="expires_at")
    def kept_until(self, backup: Backup) -> str:
        return ago(backup.removed_at or backup.expires_at)

    @admin.display(description="kept until")
    def kept_exactly(self, backup: Backup) -> str:
        return exactly(backup.removed_at or backup.expires_at)

    @admin.display(description="id, for the command line")
    def backup_id(self, backup: Backup) -> str:
        return code(str(backup.pk), breaks=True)

    @admin.display(description="made by release")
    def version(self, backup: Backup) -> str:
        return str(backup.manifest.get("version", DASH))

    @admin.display(description="file, below the backup directory")
    def file_name(self, backup: Backup) -> str:
        return code(backup.file, breaks=True)

    @admin.display(description="SHA-256 of the file")
    def digest(self, backup: Backup) -> str:
        return code(backup.sha256, breaks=True)

    @admin.display(description="why it failed")
    def why(self, backup: Backup) -> str:
        return backup.error or DASH
