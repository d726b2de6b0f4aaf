"""Single sign-on: providers, whom they named, and sign-ins on their way (hosted-contract section 11)."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models.organisations import MemberRole, Organisation
from tenants.models.people import User


class SsoProvider(models.Model):
    """An organisation's own OpenID Connect provider (hosted-contract section 11.1).

    Which group gives which role stands in the organisation's schema (`rbac.GroupMapping`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="sso_providers"
    )
    slug = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    enabled = models.BooleanField(default=False)
    issuer = models.URLField(max_length=2048)
    client_id = models.CharField(max_length=255)
    client_secret_sealed = models.BinaryField(null=True, editable=False)
    scopes = models.CharField(max_length=255, default="openid profile email")
    groups_claim = models.CharField(max_length=128, default="groups", blank=True)
    email_claim = models.CharField(max_length=128, default="email")
    name_claim = models.CharField(max_length=128, default="name")
    allowed_groups = models.JSONField(default=list, blank=True)
    allowed_domains = models.JSONField(default=list, blank=True)
    allowed_emails = models.JSONField(default=list, blank=True)
    default_role = models.CharField(
        max_length=10,
        choices=MemberRole,
        default=MemberRole.VIEWER,
        help_text="Membership of who comes for the first time.",
    )
    session_hours = models.PositiveSmallIntegerField(default=8)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "slug"], name="sso_provider_slug"),
            models.CheckConstraint(condition=~Q(default_role="owner"), name="sso_never_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class SsoIdentity(models.Model):
    """Who an identity provider says somebody is: organisation, issuer and subject, never an e-mail.

    `email`, `name` and `groups` are what it claimed last, for display only (F74).
    """

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="sso_identities"
    )
    provider = models.ForeignKey(
        SsoProvider, null=True, on_delete=models.SET_NULL, related_name="identities"
    )
    issuer = models.CharField(max_length=2048)
    subject = models.CharField(max_length=255)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sso_identities")
    email = models.CharField(max_length=254, blank=True)
    name = models.CharField(max_length=200, blank=True)
    groups = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    last_login_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "single sign-on identity"
        verbose_name_plural = "single sign-on identities"
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "issuer", "subject"], name="sso_identity_once"
            )
        ]

    def __str__(self) -> str:
        return self.email or self.name or self.subject


class SsoAttempt(models.Model):
    """A sign-in on its way to the provider and back: single use, 10 minutes, one browser."""

    state_hash = models.CharField(max_length=64, unique=True, editable=False)
    browser_hash = models.CharField(max_length=64, editable=False)
    provider = models.ForeignKey(SsoProvider, on_delete=models.CASCADE)
    sealed = models.BinaryField(editable=False, help_text="Nonce and PKCE verifier.")
    test_by = models.UUIDField(null=True, help_text="Who tests the mapping; signs nobody in.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
