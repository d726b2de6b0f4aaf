"""The tenant tables: one set per organisation, in its own schema (design section 4, rule 4).

Users and organisations are referred to by UUID, without a foreign key into `public` (F07).
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Role(models.Model):
    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=400, blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT)
    is_builtin = models.BooleanField(default=False)
    priority = models.IntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id__regex=r"^[A-Za-z0-9_-]{1,64}$"), name="role_id")
        ]

    def __str__(self) -> str:
        return self.name


class GroupMapping(models.Model):
    """A group of a single sign-on provider that gives a role here (hosted-contract section 11.3).

    `group` is stored trimmed and case-folded, and gives one role. While a provider has any mapping,
    the mapped roles replace those of everybody who signs in through it.
    """

    provider = models.UUIDField(db_index=True)
    group = models.CharField(max_length=255)
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="group_mappings")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "group"], name="group_mapping_once")
        ]


class Effect(models.TextChoices):
    ALLOW = "allow"
    DENY = "deny"


class Permission(models.Model):
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="permissions")
    action = models.CharField(max_length=20)
    resource = models.CharField(max_length=120)
    effect = models.CharField(max_length=5, choices=Effect, default=Effect.ALLOW)
    conditions = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["role", "action", "resource", "effect"], name="permission_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.effect} {self.action} {self.resource}"


class Assignment(models.Model):
    user = models.UUIDField(db_index=True)
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="assignments")
    assigned_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "role"], name="assignment_once")]


class Change(models.Model):
    """Change log of roles and assignments, with the actor (H10)."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    action = models.CharField(max_length=40)
    entity_type = models.CharField(max_length=20)
    entity_id = models.CharField(max_length=128)
    old_value = models.JSONField(null=True, blank=True)
    new_value = models.JSONField(null=True, blank=True)
    actor = models.CharField(max_length=128)


class ApiToken(models.Model):
    """A bearer token. Only the SHA-256 is kept; `prefix` (its first 8 hex digits) finds the row.

    A token with purpose `relay_mobile_access` is a paired device (design section 4, rule 4).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=8, db_index=True)
    token_hash = models.CharField(max_length=64, unique=True)
    user = models.UUIDField(db_index=True, help_text="The person it acts for.")
    scopes = models.JSONField(default=list)
    purpose = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    unused_expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Dies then unless it was used before."
    )
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
