"""Makes a backup of one organisation, and says whether one still shows its data as it is."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import faults, metrics, states
from tenants.backups import archive, contents, keeping
from tenants.models import Backup, BackupKind, BackupState, Organisation, State
from tenants.schemas import schema_exists

log = structlog.get_logger(__name__)

# States in which there is something to keep.
HAS_DATA = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION, State.PURGING)


FORMAT: Final = 1  # of what is in the file; of how it is wrapped see tenants.backups.archive


class BackupError(Exception):
    """A backup cannot be made or used; base of the errors of this package. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BackupFailed(BackupError):
    """`nothing_to_keep`: it has no data by its state; `schema_missing`: it should have and has not;
    `not_written`: disk, key or database, then the cause is the error."""


def back_up(
    *, organisation: Organisation, kind: BackupKind, actor: Actor, reason: str = ""
) -> Backup:
    """Writes one encrypted file with the organisation's schema and its rows in `public`, reads it back,
    and returns its row, which is `done`.

    All of it is of one moment; nobody is kept out meanwhile. Raises BackupFailed; the row then says
    `failed` and why (unless the caller's transaction undoes that). Daily ones leave no audit row.
    """
    organisation = Organisation.objects.get(pk=organisation.pk)
    there = schema_exists(organisation.schema_name)
    if organisation.state not in (HAS_DATA if there else keeping.LIVING):
        raise BackupFailed("nothing_to_keep", "The organisation has no schema to back up.")
    backup = Backup(organisation=organisation, kind=kind)
    backup.expires_at = keeping.expiry(kind, backup.made_at)
    backup.file = f"{organisation.pk}/{backup.made_at:%Y%m%dT%H%M%SZ}-{backup.pk}{archive.SUFFIX}"
    backup.save(force_insert=True)
    try:
        if not there:
            raise BackupFailed("schema_missing", "Its schema is not there: put a backup back.")
        written = _write(organisation, backup)
        _read_back(backup)
    except Exception as error:  # whatever it was: a failure that nobody sees is the worst
        with suppress(OSError):  # what could not be written may be as hard to delete
            path_of(backup).unlink(missing_ok=True)
        backup.state, backup.error = BackupState.FAILED, str(error)[:1000]
        backup.finished_at = timezone.now()
        backup.save()
        metrics.backed_up(False)
        log.error("backup failed", organisation=str(organisation.pk), kind=kind, error=str(error))
        if isinstance(error, BackupFailed):
            raise
        raise BackupFailed("not_written", f"The backup could not be written: {error}") from error
    faults.point("backup_written")
    with transaction.atomic():
        buried = states.locked(organisation).state == State.DELETED
        if buried:  # meanwhile: its receipt says what copies there are, and this is none of them
            Backup.objects.filter(pk=backup.pk).delete()
        else:
            _done(backup, written)
        if kind != BackupKind.DAILY and not buried:
            trail.record(
                action="org_backed_up",
                actor=actor,
                organisation=organisation.pk,
                subject=organisation.label,
                reason=reason,
                after={
                    "backup": str(backup.pk),
                    "kind": str(kind),
                    "rows": backup.rows,
                    "bytes": backup.bytes,
                    "kept_until": backup.expires_at.isoformat(timespec="seconds"),
                },
            )
    if buried:
        path_of(backup).unlink(missing_ok=True)
        raise BackupFailed("nothing_to_keep", "The organisation was deleted meanwhile.")
    transaction.on_commit(lambda: metrics.backed_up(True))
    return backup


def _done(backup: Backup, written: archive.Writer) -> None:
    """`expires_at` is left as it is in the database: a deletion may have brought it forward."""
    backup.state, backup.finished_at = BackupState.DONE, timezone.now()
    backup.bytes, backup.sha256 = written.bytes, written.sha256
    fields = ["state", "finished_at", "bytes", "sha256", "rows", "manifest"]
    backup.save(update_fields=fields)
    backup.refresh_from_db(fields=["expires_at"])


def path_of(backup: Backup) -> Path:
    return Path(settings.BACKUP_DIR) / backup.file


def still_matches(backup: Backup) -> bool:
    """Whether the organisation's data is, right now, exactly what the backup holds (F66).

    Its own row is left out: states and dates change while it is being deleted.
    """
    known = {
        name: (part["rows"], part["sha256"]) for name, part in backup.manifest["parts"].items()
    }
    with contents.one_moment(backup.organisation.schema_name):
        found = {
            name: contents.digest(pieces) for name, _, pieces in contents.parts(backup.organisation)
        }
    for found_or_known in (known, found):
        found_or_known.pop("public/tenants.organisation", None)
    return found == known


def _write(organisation: Organisation, backup: Backup) -> archive.Writer:
    out = archive.Writer(path_of(backup), organisation=organisation.pk, backup=backup.pk)
    with out, contents.one_moment(organisation.schema_name):
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "version": settings.VERSION,
            "postgresql": _server_version(),
            "organisation": str(organisation.pk),
            "label": organisation.label,
            "made_at": backup.made_at.isoformat(timespec="seconds"),
            "migrations": contents.migrations(organisation.schema_name),
        }
        out.frame("M", manifest)
        parts: dict[str, dict[str, Any]] = {}
        for name, columns, pieces in contents.parts(organisation):
            out.frame("B", {"part": name, "columns": columns})
            hashed, rows, size = hashlib.sha256(), 0, 0
            for piece in pieces:
                out.frame("D", piece)
                hashed.update(piece)
                rows, size = rows + piece.count(b"\n"), size + len(piece)
            parts[name] = {"rows": rows, "bytes": size, "sha256": hashed.hexdigest()}
            out.frame("E", {"part": name, **parts[name]})
        out.frame("Z", {"parts": parts})
    backup.manifest = {**manifest, "parts": parts}
    backup.rows = sum(part["rows"] for part in parts.values())
    return out


def _read_back(backup: Backup) -> None:
    """A backup counts only when it can be read: every part, with the digest that was written."""
    found: dict[str, tuple[int, str]] = {}
    name, hashed, rows = "", hashlib.sha256(), 0
    for kind, payload in archive.read(
        path_of(backup), organisation=backup.organisation_id, backup=backup.pk
    ):
        if kind == "B":
            name, hashed, rows = archive.told(payload)["part"], hashlib.sha256(), 0
        elif kind == "D":
            hashed.update(payload)
            rows += payload.count(b"\n")
        elif kind == "E":
            found[name] = (rows, hashed.hexdigest())
    parts = backup.manifest["parts"]
    if found != {name: (part["rows"], part["sha256"]) for name, part in parts.items()}:
        raise BackupFailed("not_written", "The file does not read as it was written.")


def _server_version() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int")
        return int(cursor.fetchone()[0])
