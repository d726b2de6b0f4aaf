"""Who may come: the stage, seats in the beta, and what proof there is that the product works."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models.people import User


class Stage(models.TextChoices):
    DEV = "dev"
    PRIVATE_BETA = "private_beta", "private beta"
    PUBLIC_BETA = "public_beta", "public beta"
    GA = "ga", "general availability"


class Rollout(models.Model):
    """The one stored rollout stage. Sign-up needs an invitation before public beta.

    A cap is how many organisations, canaries left out, may be there in a stage; none means no cap.
    `hosted_since` is when hosted mode was last seen to come on.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.PRIVATE_BETA)
    stage_since = models.DateTimeField(default=timezone.now)
    hosted_since = models.DateTimeField(null=True, blank=True)
    private_beta_cap = models.PositiveIntegerField(null=True, blank=True, default=100)
    public_beta_cap = models.PositiveIntegerField(null=True, blank=True, default=1000)
    ga_cap = models.PositiveIntegerField(null=True, blank=True)
    signups_stopped_at = models.DateTimeField(null=True, blank=True)
    signups_stop_reason = models.TextField(blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="rollout_single_row")]

    def __str__(self) -> str:
        return self.get_stage_display()


class StageChange(models.Model):
    """One raise or lowering of the stage, with what the conditions showed at that moment."""

    from_stage = models.CharField(max_length=20, choices=Stage)
    to_stage = models.CharField(max_length=20, choices=Stage)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.TextField()
    evidence = models.JSONField(default=list)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.get_from_stage_display()} to {self.get_to_stage_display()}"


class Attestation(models.Model):
    """Staff vouches, for a time, for a condition that the software cannot see by itself."""

    condition = models.CharField(max_length=40, db_index=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.TextField()
    at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.condition} until {self.expires_at:%Y-%m-%d}"


class Invitation(models.Model):
    """A seat in the beta: lets a sign-up through while the stage is invite-only.

    Bound to an address when `email` is set, or to every proved mailbox of a mail domain when
    `domain` is set; never to both. `batch` names the upload that it came with. When `mailed_at` is set the token went to that
    mailbox and nowhere else, so redeeming it by POST proves the mailbox. Only the SHA-256 of the
    token is stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField(max_length=254, blank=True)
    domain = models.CharField(max_length=253, blank=True)
    batch = models.CharField(max_length=64, blank=True, db_index=True)
    canary = models.BooleanField(default=False, editable=False)
    note = models.CharField(max_length=200, blank=True)
    seats = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL)
    mailed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(used__lte=models.F("seats")), name="invitation_seats"
            ),
            models.CheckConstraint(
                condition=Q(email="") | Q(domain=""), name="invitation_email_or_domain"
            ),
        ]

    def __str__(self) -> str:
        return self.email or (f"@{self.domain}" if self.domain else f"{self.seats} seats")


class ReadinessKind(models.TextChoices):
    PROVE = "prove", "proof"
    LIFECYCLE_DRILL = "drill_lifecycle", "life-cycle drills"
    RBAC_DRILL = "drill_rbac", "RBAC drills"


class ReadinessRecord(models.Model):
    """What one run of `manage.py prove` or `drill` showed: passed, or blocked with what blocks."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20, choices=ReadinessKind, default=ReadinessKind.PROVE)
    passed = models.BooleanField()
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    steps = models.JSONField(default=list)
    blocking = models.JSONField(default=list)
    version = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'blocked'} at {self.started_at:%Y-%m-%d %H:%M}"
