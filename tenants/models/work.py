"""What the product notes about its own work: steps, mail, limits, schemas, samples of figures."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from tenants.models.organisations import Organisation


class StepStatus(models.TextChoices):
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


class StepRecord(models.Model):
    """That one provisioning step ran for an organisation; written in the step's own transaction."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="steps")
    step = models.CharField(max_length=40)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=10, choices=StepStatus)
    attempt = models.PositiveSmallIntegerField(default=1)
    seconds = models.FloatField(default=0)
    error = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["organisation", "step"], name="step_once")]

    def __str__(self) -> str:
        return f"{self.step}: {self.status}"


class OutboxMail(models.Model):
    """Mail that was handed to SMTP. In development the body is kept for the staff outbox page."""

    recipient = models.EmailField(max_length=254)
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True, help_text="Kept in development only.")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "mail"
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"{self.subject} to {self.recipient}"


class LimitWindow(models.Model):
    """One counter of one rate limit, shared by all processes. The key is a hash."""

    key = models.CharField(max_length=64)
    window = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "window"], name="limit_window")]


class SchemaTemplate(models.Model):
    """SQL that makes one tenant schema, dumped from a migrated one; keyed by what migrations exist."""

    migrations_hash = models.CharField(max_length=64, primary_key=True)
    sql = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)


class SchemaVersion(models.Model):
    """Which migration an organisation's schema is at, so that nobody has to ask every schema."""

    schema_name = models.CharField(max_length=36, primary_key=True)
    version = models.CharField(max_length=100, db_index=True, help_text="Last migration applied.")
    at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.schema_name} at {self.version}"


class Sample(models.Model):
    """The platform's figures at one moment, kept for the charts of the staff home page."""

    at = models.DateTimeField(unique=True)
    figures = models.JSONField(default=dict)
