"""The version of an organisation's roles and memberships: what caches of them are good for (F75)."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F

from tenants import schemas
from tenants.models import Organisation


def move_on(organisation_id: UUID) -> None:
    """Makes every process forget what it knows of who may do what there, from commit on.

    Call it in the transaction of the change. The row is locked until then, so changes of one
    organisation go one after the other. Raises SchemaMissing inside a schema that is not the
    organisation's any more: it was put back from a backup while this change waited for the row, and
    what is written to the old tables would be lost.
    """
    rows, here = Organisation.objects.filter(pk=organisation_id), schemas.current()
    if here != schemas.PUBLIC:
        rows = rows.filter(schema_name=here)
    moved = rows.update(rbac_version=F("rbac_version") + 1)
    if not moved and here != schemas.PUBLIC:
        raise schemas.SchemaMissing(here)
