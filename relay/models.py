"""The instance side of hosted organisations: registration and live status."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from tenants.models import Organisation


class Registration(models.Model):
    """Makes an organisation reachable: its relay identity and stable instance id.

    `instance_id` is `relay_` and the first 16 hex digits of SHA-256(`hosted:` + instance_host)
    (relay-protocol section 6.4). Private key and licence are sealed with the organisation's id as
    associated data.
    """

    organisation = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, primary_key=True, related_name="registration"
    )
    instance_id = models.CharField(max_length=22, unique=True)
    identity_public_key = models.CharField(max_length=44)
    identity_fingerprint = models.CharField(max_length=95)
    sealed_identity_key = models.BinaryField(editable=False)
    sealed_licence = models.BinaryField(null=True, blank=True, editable=False)
    licence_id = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.instance_id


class RelayStatus(models.Model):
    """What the built-in runtime last said of an organisation's connection; stale after 45 s."""

    organisation = models.OneToOneField(
        Organisation, on_delete=models.CASCADE, primary_key=True, related_name="relay_status"
    )
    connected = models.BooleanField(default=False)
    connected_at = models.DateTimeField(null=True, blank=True)
    credential = models.CharField(max_length=10, blank=True, help_text="lease or licence")
    credential_expires_at = models.DateTimeField(null=True, blank=True)
    active_channels = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True)
    reconnect_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "relay status"

    def __str__(self) -> str:
        return "connected" if self.connected else "not connected"
