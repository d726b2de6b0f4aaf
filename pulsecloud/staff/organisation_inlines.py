"""What stands on an organisation's page beside its own fields."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from billing.models import Lease, RefreshToken
from pulsecloud.staff import badges
from pulsecloud.staff.base import StaffInline
from pulsecloud.staff.words import DASH, ago, code, link
from tenants.models import (
    Backup,
    BackupState,
    MemberInvitation,
    Membership,
    StepRecord,
    StepStatus,
)


class StepInline(StaffInline):
    model = StepRecord
    verbose_name_plural = "provisioning steps"
    fields = readonly_fields = ("step", "outcome", "attempt", "took", "error", "when")

    @admin.display(description="outcome")
    def outcome(self, step: StepRecord) -> str:
        tones = {StepStatus.DONE: badges.GOOD, StepStatus.FAILED: badges.BAD}
        return badges.badge(step.status, tones.get(StepStatus(step.status), badges.QUIET))

    @admin.display(description="took")
    def took(self, step: StepRecord) -> str:
        return f"{step.seconds * 1000:.0f} ms"

    @admin.display(description="when")
    def when(self, step: StepRecord) -> str:
        return ago(step.at)


class MembershipInline(StaffInline):
    model = Membership
    verbose_name_plural = "people"
    fields = readonly_fields = ("person", "role", "since", "blocked")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user").order_by("added_at")

    @admin.display(description="person")
    def person(self, membership: Membership) -> str:
        address = reverse("admin:tenants_user_change", args=[membership.user_id])
        return link(address, str(membership.user))

    @admin.display(description="since")
    def since(self, membership: Membership) -> str:
        return ago(membership.added_at)

    @admin.display(description="blocked?")
    def blocked(self, membership: Membership) -> str:
        page = reverse("admin:tenants_organisation_change", args=[membership.organisation_id])
        return link(f"{page}?for={membership.user_id}", "Ask the door")


class BackupInline(StaffInline):
    model = Backup
    verbose_name_plural = "backups, newest first"
    ordering = ("-made_at",)
    fields = readonly_fields = ("what", "outcome", "made", "size", "kept_until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Backup]:
        """Without the manifest, which is long."""
        return super().get_queryset(request).defer("manifest")

    @admin.display(description="backup")
    def what(self, backup: Backup) -> str:
        kind = str(backup.get_kind_display()).capitalize()
        if admin.site.is_registered(Backup):
            return link(reverse("admin:tenants_backup_change", args=[backup.pk]), kind)
        return kind

    @admin.display(description="outcome")
    def outcome(self, backup: Backup) -> str:
        tones = {
            BackupState.DONE: badges.GOOD,
            BackupState.FAILED: badges.BAD,
            BackupState.RUNNING: badges.CALM,
        }
        tone = tones.get(BackupState(backup.state), badges.QUIET)
        return badges.badge(backup.state, tone, backup.error)

    @admin.display(description="made")
    def made(self, backup: Backup) -> str:
        return ago(backup.made_at)

    @admin.display(description="size")
    def size(self, backup: Backup) -> str:
        if backup.state not in (BackupState.DONE, BackupState.REMOVED):
            return DASH
        return f"{filesizeformat(backup.bytes)}, {backup.rows} rows"

    @admin.display(description="kept until")
    def kept_until(self, backup: Backup) -> str:
        return ago(backup.removed_at or backup.expires_at)


class MemberInvitationInline(StaffInline):
    """Invitations that nobody has answered; their links are stored nowhere."""

    model = MemberInvitation
    verbose_name_plural = "open invitations to join"
    fields = readonly_fields = ("email", "role", "inviter", "sent", "sends", "expires")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MemberInvitation]:
        open_ones = super().get_queryset(request).select_related("invited_by")
        return open_ones.filter(accepted_at=None, declined_at=None, revoked_at=None)

    @admin.display(description="invited by")
    def inviter(self, invitation: MemberInvitation) -> str:
        return str(invitation.invited_by or "")

    @admin.display(description="sent")
    def sent(self, invitation: MemberInvitation) -> str:
        return ago(invitation.sent_at)

    @admin.display(description="expires")
    def expires(self, invitation: MemberInvitation) -> str:
        return ago(invitation.expires_at)


class LeaseInline(StaffInline):
    model = Lease
    verbose_name_plural = "last leases"
    fields = readonly_fields = ("issued", "issued_for", "expires", "plan_version", "key")

    @admin.display(description="issued")
    def issued(self, lease: Lease) -> str:
        return ago(lease.issued_at)

    @admin.display(description="expires")
    def expires(self, lease: Lease) -> str:
        return ago(lease.expires_at)

    @admin.display(description="signed with")
    def key(self, lease: Lease) -> str:
        return code(lease.kid)


class RefreshTokenInline(StaffInline):
    model = RefreshToken
    verbose_name_plural = "refresh tokens of an external runtime"
    fields = readonly_fields = ("issued", "used", "revoked")

    @admin.display(description="issued")
    def issued(self, token: RefreshToken) -> str:
        return ago(token.issued_at)

    @admin.display(description="last used")
    def used(self, token: RefreshToken) -> str:
        return ago(token.last_refreshed_at)

    @admin.display(description="revoked")
    def revoked(self, token: RefreshToken) -> str:
        return ago(token.revoked_at)
