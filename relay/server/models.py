"""The relay's own durable state. Runs on SQLite and PostgreSQL alike; keyed by instance id."""

from __future__ import annotations

from django.db import models


class Session(models.Model):
    """A registered instance and the hash of the session token that lets it resume."""

    instance_id = models.CharField(max_length=22, primary_key=True)
    token_hash = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, help_text="licence, grant or lease")
    licence_id = models.CharField(max_length=200, blank=True, db_index=True)
    installation_id = models.CharField(max_length=200, blank=True, db_index=True)
    organisation = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.instance_id


class BlockedInstance(models.Model):
    """An instance that may not be reached: its organisation is suspended, going or gone.

    Written in the life-cycle transaction, read at every REGISTER and CONNECT (design section 6).
    """

    instance_id = models.CharField(max_length=22, primary_key=True)
    organisation = models.UUIDField(null=True, blank=True)
    since = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.instance_id


class LicenceBinding(models.Model):
    """A licence that staff attached to a hosted organisation keeps the organisation's instance id."""

    licence_id = models.CharField(max_length=200, primary_key=True)
    instance_id = models.CharField(max_length=22)
    organisation = models.UUIDField(null=True, blank=True)

    def __str__(self) -> str:
        return self.licence_id
