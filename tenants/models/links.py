"""Single-use links (design section 6)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from tenants.models.organisations import Organisation
from tenants.models.people import User


class LinkPurpose(models.TextChoices):
    VERIFY_MAILBOX = "verify_mailbox", "prove a mailbox"
    SIGN_IN = "sign_in", "sign in"
    MAGIC_LINK = "magic_link", "sign in by mail"
    HAND_OFF = "hand_off", "hand over to an organisation's host"


class Link(models.Model):
    """A single-use, expiring link or hand-off. Only the SHA-256 of its token is stored."""

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    purpose = models.CharField(max_length=20, choices=LinkPurpose)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.CASCADE, related_name="links"
    )
    target = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} until {self.expires_at:%Y-%m-%d %H:%M}"
