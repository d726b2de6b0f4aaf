"""The one append-only trail: platform and organisations alike (design section 4, rule 5).

Events are sealed afterwards, in batches: `Batch` is a link of a signed hash chain, `SealedEvent` says
which event stands where in it, `KeyStatement` which keys may have signed. Triggers refuse to change
or delete rows of all four tables.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone


class Event(models.Model):
    """Who did what to what, when and why. Rows are only ever inserted: a trigger refuses the rest.

    `organisation` is a plain UUID, not a foreign key: the trail outlives the organisation. A new
    column needs a new form in audit.canonical, or it would not be sealed.
    """

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    action = models.CharField(max_length=64, db_index=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=128, blank=True)
    actor_label = models.CharField(max_length=320, blank=True)
    organisation = models.UUIDField(null=True, blank=True)
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
        # An organisation's newest events, page by page.
        indexes = [models.Index(fields=["organisation", "-id"], name="audit_event_of_org")]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label or self.actor_kind}"


class Batch(models.Model):
    """One link of the chain: `hash` covers the previous one, all columns but the signature, and the
    hashes of its events in order. See audit.canonical for the exact bytes.

    `highest_event` is the highest event id up to and including this batch; ids have gaps, and a
    late commit has a lower one. `caught_up` says that no event was waiting beyond this batch.
    """

    number = models.BigIntegerField(primary_key=True)
    form = models.PositiveSmallIntegerField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    count = models.PositiveIntegerField()
    highest_event = models.BigIntegerField()
    caught_up = models.BooleanField()
    sealed_at = models.DateTimeField(default=timezone.now, db_index=True)
    key_id = models.CharField(max_length=32)
    signature = models.CharField(max_length=128)

    class Meta:
        ordering = ["-number"]
        verbose_name = "seal"

    def __str__(self) -> str:
        return f"seal {self.number}"


class SealedEvent(models.Model):
    """An event's place in the chain. `event` is no foreign key: a missing event must be seen."""

    event = models.BigIntegerField(primary_key=True)
    batch = models.BigIntegerField()
    position = models.PositiveIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "position"], name="audit_sealed_place")
        ]

    def __str__(self) -> str:
        return f"event {self.event} in seal {self.batch}"


class KeyStatement(models.Model):
    """`by_key_id` says, signed: this key is one of ours (audit.keys).

    A key's first statement is by itself and has no `up_to`. A later key vouches for a former one,
    for batches with numbers up to `up_to`.
    """

    key_id = models.CharField(max_length=32)
    public_key = models.CharField(max_length=64)
    by_key_id = models.CharField(max_length=32)
    up_to = models.BigIntegerField(null=True, blank=True)
    signature = models.CharField(max_length=128)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key_id", "by_key_id", "up_to"], name="audit_key_said_once"
            )
        ]

    def __str__(self) -> str:
        return f"key {self.key_id}"
