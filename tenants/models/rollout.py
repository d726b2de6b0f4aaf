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
    """The one stored rollout stage. Sign-up needs an invitation before public beta."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.PRIVATE_BETA)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="rollout_single_row")]

    def __str__(self) -> str:
        return self.get_stage_display()


class Invitation(models.Model):
    """A seat in the beta: lets a sign-up through while the stage is invite-only.

    Bound to an address when `email` is set. When `mailed_at` is set the token went to that
    mailbox and nowhere else, so redeeming it by POST proves the mailbox. Only the SHA-256 of the
    token is stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField(max_length=254, blank=True)
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
            )
        ]

    def __str__(self) -> str:
        return self.email or f"{self.seats} seats"


class ReadinessRecord(models.Model):
    """What one run of `manage.py prove` showed: passed, or blocked with the facts that block."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20, default="prove")
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
