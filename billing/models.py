"""Billing state, signing keys and what they signed (hosted-contract sections 12, 13, 15)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models import Organisation


class Subscription(models.TextChoices):
    TRIAL = "trial"
    ACTIVE = "active"
    GRACE = "grace"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    CANCELED = "canceled"


class BillingState(models.Model):
    """What an organisation has paid for. Lists and maps are never null."""

    organisation = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, primary_key=True, related_name="billing"
    )
    subscription_state = models.CharField(
        max_length=10, choices=Subscription, default=Subscription.TRIAL
    )
    plan_version = models.CharField(max_length=60, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    limits = models.JSONField(default=dict, blank=True)
    meters_enabled = models.JSONField(default=list, blank=True)
    trial_started_at = models.DateTimeField(null=True, blank=True)
    trial_ends_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(subscription_state__in=[s.value for s in Subscription]),
                name="billing_subscription_state",
            )
        ]

    def __str__(self) -> str:
        return f"{self.subscription_state} ({self.plan_version})"


class SigningKey(models.Model):
    """An Ed25519 key that signs leases. The private half is sealed (AES-GCM); one key is active."""

    kid = models.CharField(max_length=32, primary_key=True)
    public_key = models.CharField(max_length=44, help_text="Base64 of 32 bytes.")
    sealed_private_key = models.BinaryField(editable=False)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    retires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["active"], condition=Q(active=True), name="signing_key_one_active"
            )
        ]

    def __str__(self) -> str:
        return self.kid


class Lease(models.Model):
    """That a lease was signed. The token itself is never stored."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="leases")
    kid = models.CharField(max_length=32)
    plan_version = models.CharField(max_length=60, blank=True)
    subscription_state = models.CharField(max_length=10)
    issued_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    issued_for = models.CharField(max_length=20, help_text="provisioning, runtime or refresh")

    class Meta:
        ordering = ["-issued_at"]
        verbose_name = "entitlement lease"

    def __str__(self) -> str:
        return f"lease until {self.expires_at:%Y-%m-%d %H:%M}"


class RefreshToken(models.Model):
    """Lets an external runtime renew its lease. Shown once; only the SHA-256 is stored (H13)."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="refresh_tokens"
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    issued_at = models.DateTimeField(default=timezone.now, editable=False)
    last_refreshed_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"refresh token of {self.organisation}"
