"""The last encrypted copy, made before anything is removed, and the promise that it is of the very
data that is removed afterwards (F66): its digests are compared with the data in the transaction that
begins the deletion, while nobody can write to it."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import connection

from audit.actors import Actor
from tenants import schemas
from tenants.backups import making
from tenants.deletion import blast
from tenants.models import Backup, BackupKind, BackupState, Organisation, Removal

# A table that somebody is writing to is not waited for longer; the deletion tries again later.
LOCK_TIMEOUT: Final = "5s"


class CopyFailed(Exception):
    """No final copy could be made, so nothing is removed. The text is for staff."""


class DataChanged(Exception):
    """The data is not what the final copy holds any more: another copy is needed."""


def wanted(organisation: Organisation) -> bool:
    """Canaries leave no copies; an organisation without a schema has nothing to copy."""
    return (
        settings.FINAL_BACKUP == "on"
        and not organisation.canary
        and schemas.schema_exists(organisation.schema_name)
    )


def last(organisation: Organisation, removal: Removal) -> Backup | None:
    """The newest good final copy of this deletion: a reaper that was killed may have left one."""
    return (
        Backup.objects.filter(
            organisation=organisation,
            kind=BackupKind.FINAL,
            state=BackupState.DONE,
            made_at__gte=removal.requested_at,
        )
        .order_by("-made_at")
        .first()
    )


def make(organisation: Organisation, *, actor: Actor) -> Backup:
    """Raises CopyFailed. Call it outside a transaction: it takes as long as the data is large."""
    try:
        return making.back_up(
            organisation=organisation,
            kind=BackupKind.FINAL,
            actor=actor,
            reason="before its deletion",
        )
    except making.BackupError as error:
        raise CopyFailed(f"There is no final copy, so nothing was removed. {error}") from error


def require_same(organisation: Organisation, copy: Backup) -> None:
    """In the transaction that begins the deletion, with the organisation locked: nobody writes to its
    tables until that ends. Raises DataChanged."""
    tables = [f'"{organisation.schema_name}"."{t}"' for t in blast.schema_tables(organisation)]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        if tables:
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN SHARE MODE")
        cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    file = making.path_of(copy)
    if not file.exists() or file.stat().st_size != copy.bytes:
        raise DataChanged("the file of the final copy is not there as it was written")
    if not making.still_matches(copy):
        raise DataChanged("the data changed after the final copy was made")
