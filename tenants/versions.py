"""The version of an organisation's roles and memberships: what caches of them are good for (F75)."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F

from tenants.models import Organisation


def move_on(organisation_id: UUID) -> None:
    """Makes every process forget what it knows of who may do what there, from commit on.

    Call it in the transaction of the change. The row is locked until then, so changes of one
    organisation go one after the other.
    """
    Organisation.objects.filter(pk=organisation_id).update(rbac_version=F("rbac_version") + 1)
