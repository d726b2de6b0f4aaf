"""Organisations and who belongs to them: the public half of tenancy (design sections 3 and 4)."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from tenants.models.people import User

SCHEMA_NAME = r"^org_[0-9a-f]{32}$"
LABEL = r"^[a-z0-9]([a-z0-9-]{1,38}[a-z0-9])$"
# How long a deleted organisation is kept, in days (hosted-contract section 5.5).
RETENTION_LEAST, RETENTION_DAYS, RETENTION_MOST = 1, 30, 365


class State(models.TextChoices):
    """Organisation states, design section 3."""

    REQUESTED = "requested"
    EXPIRED = "expired"
    PROVISIONING = "provisioning"
    FAILED = "failed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    PENDING_DELETION = "pending_deletion", "pending deletion"
    PURGING = "purging"
    DELETED = "deleted"


class Runtime(models.TextChoices):
    BUILTIN = "builtin", "built in"
    EXTERNAL = "external"


class SuspendedBy(models.TextChoices):
    OWNER = "owner"
    PLATFORM = "platform"
    BILLING = "billing"


_NOT_SUSPENDED = Q(suspended_at__isnull=True, suspended_by="", suspend_reason="")
_SUSPENDED = Q(suspended_at__isnull=False, suspended_by__in=SuspendedBy.values)
_NOT_DELETING = Q(
    deletion_requested_at__isnull=True, retention_days__isnull=True, state_before_deletion=""
)
_DELETING = Q(deletion_requested_at__isnull=False, retention_days__isnull=False) & (
    Q(state_before_deletion="active") & _NOT_SUSPENDED
    | Q(state_before_deletion="suspended") & _SUSPENDED
)


class Organisation(models.Model):
    """A customer. Its own data lives in the schema `schema_name`; this row outlives it as a tombstone.

    Not a django-tenants TenantMixin: saving or deleting a row must never make or drop a schema
    (F05, F24), and there is no `with organisation:` (F02). Only `tenants.schemas` switches.
    """

    auto_drop_schema = False  # a signal of django-tenants asks its tenant model for this

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    display_name = models.CharField(max_length=64)
    label = models.CharField(max_length=40, validators=[RegexValidator(LABEL)])
    schema_name = models.CharField(max_length=36, unique=True, editable=False)
    instance_host = models.CharField(
        max_length=253, editable=False, help_text="Signed into leases; never changes."
    )
    state = models.CharField(max_length=20, choices=State, default=State.REQUESTED, db_index=True)
    state_before_deletion = models.CharField(max_length=20, blank=True)
    owner_email = models.EmailField(max_length=254)
    runtime = models.CharField(max_length=10, choices=Runtime, default=Runtime.BUILTIN)
    canary = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)
    mailbox_proved_at = models.DateTimeField(null=True, blank=True)
    provisioned_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    suspended_by = models.CharField(max_length=10, choices=SuspendedBy, blank=True)
    suspend_reason = models.TextField(blank=True)
    deletion_requested_at = models.DateTimeField(null=True, blank=True)
    retention_days = models.PositiveIntegerField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True, help_text="Why the last provisioning attempt failed.")
    attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Provisioning runs since the mailbox was proved."
    )
    # Moves with every change of a role, an assignment or a membership; what `rbac` has cached of
    # this organisation is good only for the version that it was read at (F75).
    rbac_version = models.PositiveBigIntegerField(default=0, editable=False)
    sso_required = models.BooleanField(
        default=False, help_text="Members come by single sign-on only; the owner always may."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, editable=False, help_text="Of its plan; empty means the default."
    )
    # The seat that let the request through; given back when the mailbox is never proved.
    invitation = models.ForeignKey(
        "Invitation",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="organisations",
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(schema_name__regex=SCHEMA_NAME), name="organisation_schema_name"
            ),
            models.CheckConstraint(condition=Q(label__regex=LABEL), name="organisation_label"),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in State]), name="organisation_state"
            ),
            models.CheckConstraint(
                condition=Q(canary=False) | Q(label__startswith="canary-"),
                name="organisation_canary_label",
            ),
            # A label is free again only when nobody ever proved the mailbox behind the request.
            models.UniqueConstraint(
                fields=["label"], condition=~Q(state="expired"), name="organisation_label_unique"
            ),
            models.UniqueConstraint(
                fields=["instance_host"],
                condition=~Q(state="expired"),
                name="organisation_host_unique",
            ),
            # A state has the fields that it needs and no others: nothing stale is left behind (H5).
            models.CheckConstraint(
                condition=~Q(state="active") | _NOT_SUSPENDED & _NOT_DELETING,
                name="organisation_active_fields",
            ),
            models.CheckConstraint(
                condition=~Q(state="suspended") | _SUSPENDED & _NOT_DELETING,
                name="organisation_suspended_fields",
            ),
            models.CheckConstraint(
                condition=~Q(state="pending_deletion") | _DELETING,
                name="organisation_pending_deletion_fields",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["pending_deletion", "purging", "deleted"]) | _NOT_DELETING,
                name="organisation_deletion_fields",
            ),
            models.CheckConstraint(
                condition=_NOT_SUSPENDED | _SUSPENDED, name="organisation_suspension_fields"
            ),
            models.CheckConstraint(
                condition=Q(retention_days__isnull=True)
                | Q(retention_days__gte=RETENTION_LEAST, retention_days__lte=RETENTION_MOST),
                name="organisation_retention",
            ),
            models.CheckConstraint(
                condition=Q(state="deleted", deleted_at__isnull=False)
                | ~Q(state="deleted") & Q(deleted_at__isnull=True),
                name="organisation_deleted_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.display_name} ({self.label})"

    def save(self, **options: Any) -> None:
        """Never writes `rbac_version` of a row that is there: a stale copy would put it back, and
        rights that were taken away would count again wherever they are remembered (F75)."""
        if not self._state.adding and options.get("update_fields") is None:
            options["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key and field.name != "rbac_version"
            ]
        super().save(**options)


class Domain(models.Model):
    """A host name that leads to an organisation. The first is its instance host."""

    domain = models.CharField(max_length=253, unique=True)
    tenant = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="domains")
    is_primary = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.domain


class MemberRole(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class Membership(models.Model):
    """A person's place in an organisation. Exactly one owner each."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=MemberRole, default=MemberRole.VIEWER)
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "user"], name="membership_unique"),
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(role="owner"), name="membership_one_owner"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.organisation}"


class MemberInvitation(models.Model):
    """Asks a person into an organisation. Sent to `email`; only its token's SHA-256 is kept.

    Whoever accepts must be signed in with that very mailbox, proved (F70).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="member_invitations"
    )
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=MemberRole, default=MemberRole.VIEWER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(default=timezone.now)
    sends = models.PositiveSmallIntegerField(default=1)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    declined_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(Lower("email"), name="member_invitation_mailbox")]
        constraints = [
            # One open invitation per mailbox; inviting again renews it.
            models.UniqueConstraint(
                "organisation",
                Lower("email"),
                condition=Q(accepted_at=None, declined_at=None, revoked_at=None),
                name="member_invitation_once",
            ),
            models.CheckConstraint(condition=~Q(role="owner"), name="member_invitation_not_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"
