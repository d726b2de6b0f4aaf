"""Backups of single organisations; the files lie in the data directory, encrypted."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from tenants.models.organisations import Organisation


class BackupKind(models.TextChoices):
    DAILY = "daily"
    MANUAL = "manual"
    BEFORE_RESTORE = "before_restore", "before a restore"
    FINAL = "final", "before deletion"


class BackupState(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REMOVED = "removed"


class Backup(models.Model):
    """One encrypted file with one organisation's schema and its public rows.

    `manifest` says what is in it: versions, rows per table, the digest of each part. It outlives
    its file as `removed`, and dies with the organisation by the date in the deletion receipt.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="backups")
    kind = models.CharField(max_length=20, choices=BackupKind)
    state = models.CharField(max_length=10, choices=BackupState, default=BackupState.RUNNING)
    made_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(db_index=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    file = models.CharField(max_length=200, blank=True, help_text="Below the backup directory.")
    bytes = models.PositiveBigIntegerField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    manifest = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.made_at:%Y-%m-%d %H:%M}"
