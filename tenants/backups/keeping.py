"""How long backups are kept, which organisations are due for one, and what killed processes left."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from tenants import metrics
from tenants.backups import archive
from tenants.models import Backup, BackupKind, BackupState, Organisation, State

log = structlog.get_logger(__name__)

LIVING: Final = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION)
# A backup takes seconds; one that runs for this long belongs to a process that died.
ABANDONED_AFTER: Final = timedelta(hours=1)
STRAY_AFTER: Final = timedelta(days=1)
# Counts as a backup of an organisation as it should be.
GOOD: Final = Q(state=BackupState.DONE) & ~Q(kind=BackupKind.BEFORE_RESTORE)


def expiry(kind: BackupKind, made_at: datetime) -> datetime:
    """Until when a backup of this kind is kept."""
    days = settings.BACKUP_RETENTION_DAYS
    if kind == BackupKind.FINAL:
        days = settings.BACKUP_DAYS_AFTER_DELETION
    return made_at + timedelta(days=days)


def expire(now: datetime | None = None) -> int:
    """Removes the files of backups whose time is over; returns how many.

    The newest good one of a living organisation stays whatever its date: when backups have been
    failing for a month, the last one is worth more than the rule. A newer one is good when its file
    is there, and when it is not of the broken data that was there before a restore.
    """
    now = now or timezone.now()
    newer = Backup.objects.filter(
        GOOD, organisation=OuterRef("organisation"), made_at__gt=OuterRef("made_at")
    )
    over = Backup.objects.filter(
        Q(Exists(newer)) | ~Q(organisation__state__in=LIVING) | ~Q(state=BackupState.DONE),
        expires_at__lte=now,
        state__in=[BackupState.DONE, BackupState.FAILED],
    )
    gone = 0
    for backup in over.select_related("organisation"):
        if _is_last_good(backup):
            continue
        try:
            remove(backup)
        except OSError as error:  # one file holds up no other
            log.error("backup not removed", file=backup.file, error=str(error))
        else:
            gone += 1
    return gone


def _is_last_good(backup: Backup) -> bool:
    """Of a living organisation, by the files that are really there."""
    organisation = backup.organisation
    if organisation.state not in LIVING or backup.state != BackupState.DONE:
        return False
    newer = organisation.backups.filter(GOOD, made_at__gt=backup.made_at)
    if any(_file(each).exists() for each in newer):
        return False
    log.error("files of newer backups are gone", organisation=str(organisation.pk))
    return True


def remove(backup: Backup) -> None:
    """Deletes the file now. The row stays as `removed`, and goes with the last of its organisation."""
    _file(backup).unlink(missing_ok=True)
    if backup.organisation.state == State.DELETED:
        backup.delete()  # the receipt says what there was; nothing else needs it
        return
    backup.state, backup.removed_at = BackupState.REMOVED, timezone.now()
    backup.save(update_fields=["state", "removed_at"])


def expire_after_deletion(organisation: Organisation) -> datetime:
    """The organisation is being deleted: its copies may stay for PULSECLOUD_BACKUP_DAYS_AFTER_DELETION
    more days, a canary's not at all. Returns until when copies remain; now, when there are none.

    Joins the caller's transaction; files of a canary go when it commits. May run again: dates only
    come nearer.
    """
    now = timezone.now()
    backups = Backup.objects.filter(organisation=organisation)
    if organisation.canary:
        files = [_file(backup) for backup in backups]
        backups.delete()
        transaction.on_commit(lambda: _unlink(files))
        return now
    limit = now + timedelta(days=settings.BACKUP_DAYS_AFTER_DELETION)
    backups.filter(state=BackupState.REMOVED).delete()
    backups.filter(expires_at__gt=limit).update(expires_at=limit)
    last = backups.filter(state=BackupState.DONE).order_by("-expires_at").first()
    return max(last.expires_at, now) if last is not None else now


def due(now: datetime | None = None) -> QuerySet[Organisation]:
    """Living organisations whose newest good backup is older than PULSECLOUD_BACKUP_EVERY, those that
    never had one first; one whose last attempt failed waits for an hour. Canaries have none."""
    now = now or timezone.now()
    mine = Backup.objects.filter(organisation=OuterRef("pk"))
    fresh = mine.filter(GOOD, made_at__gt=now - timedelta(seconds=settings.BACKUP_EVERY))
    tried = mine.filter(
        state__in=[BackupState.RUNNING, BackupState.FAILED], made_at__gt=now - ABANDONED_AFTER
    )
    return (
        Organisation.objects.filter(state__in=LIVING, canary=False)
        .filter(~Exists(fresh), ~Exists(tried))
        .order_by("provisioned_at", "pk")
    )


def tidy(now: datetime | None = None) -> int:
    """What killed processes left: rows that still say `running`, and half-written files.

    A whole file that no row knows stays: after a database was put back from an older copy, the files
    are all there is of the time since.
    """
    now = now or timezone.now()
    found = 0
    for backup in Backup.objects.filter(
        state=BackupState.RUNNING, made_at__lt=now - ABANDONED_AFTER
    ):
        _file(backup).unlink(missing_ok=True)
        backup.state, backup.error = BackupState.FAILED, "The process that made it was stopped."
        backup.finished_at = now
        backup.save(update_fields=["state", "error", "finished_at"])
        metrics.backed_up(False)
        log.error("backup failed", organisation=str(backup.organisation_id), error=backup.error)
        found += 1
    for file in Path(settings.BACKUP_DIR).glob(f"*/*{archive.SUFFIX}{archive.DRAFT}"):
        with suppress(FileNotFoundError):  # it was finished just now
            if file.stat().st_mtime < (now - STRAY_AFTER).timestamp():
                file.unlink()
                found += 1
    return found


def oldest_age(now: datetime | None = None) -> float | None:
    """Seconds since the latest good backup of that active organisation whose is the oldest; one that
    has none counts from when it was set up. None without active organisations."""
    good = Q(backups__state=BackupState.DONE) & ~Q(backups__kind=BackupKind.BEFORE_RESTORE)
    latest = Max("backups__made_at", filter=good)
    oldest = (
        Organisation.objects.filter(state=State.ACTIVE, canary=False)
        .order_by()
        .annotate(kept=Coalesce(latest, "provisioned_at", "created_at"))
        .aggregate(oldest=Min("kept"))["oldest"]
    )
    return None if oldest is None else ((now or timezone.now()) - oldest).total_seconds()


def _unlink(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _file(backup: Backup) -> Path:
    return Path(settings.BACKUP_DIR) / backup.file
