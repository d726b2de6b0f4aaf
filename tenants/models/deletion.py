"""How an organisation is deleted: the work in progress, and the receipt that stays."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from tenants.models.organisations import Organisation


class Removal(models.Model):
    """One deletion, from the request to the last effect; cancelled with the deletion, and gone
    with a restore.

    `done` lists the effects that have run, in order, so that a killed reaper goes on where it was.
    `blast` is what was counted before the first effect: rows, bytes, sockets, tokens.
    """

    organisation = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, related_name="removal"
    )
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.CharField(max_length=10, help_text="Kind of actor: owner or platform.")
    due_at = models.DateTimeField(db_index=True)
    notices = models.JSONField(default=list, help_text="Kinds of notice mailed so far, with times.")
    blast = models.JSONField(default=dict)
    done = models.JSONField(default=list)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["due_at"]

    def __str__(self) -> str:
        return f"{self.organisation} on {self.due_at:%Y-%m-%d}"


class DeletionReceipt(models.Model):
    """What a customer can be shown after the deletion, signed (Ed25519). Holds no personal data."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.PROTECT, related_name="receipts"
    )
    label = models.CharField(max_length=40)
    document = models.JSONField(default=dict)
    signature = models.CharField(max_length=128)
    kid = models.CharField(max_length=64)
    made_at = models.DateTimeField(default=timezone.now)
    copies_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.label}, {self.made_at:%Y-%m-%d}"
