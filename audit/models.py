"""The one append-only trail: platform and organisations alike (design section 4, rule 5)."""

from __future__ import annotations

import uuid

from django.db import models


class Event(models.Model):
    """Who did what to what, when and why. Rows are only ever inserted: a trigger refuses the rest.

    `organisation` is a plain UUID, not a foreign key: the trail outlives the organisation.
    """

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    action = models.CharField(max_length=64, db_index=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=128, blank=True)
    actor_label = models.CharField(max_length=320, blank=True)
    organisation = models.UUIDField(null=True, blank=True, db_index=True)
    subject = models.CharField(max_length=200, blank=True)
    success = models.BooleanField(default=True)
    path = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "audit event"

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label or self.actor_kind}"
