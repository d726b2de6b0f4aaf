"""Builds a new schema from a backup's file: nobody uses it until it has been verified and switched to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from tenants import locks, schema_template, schemas
from tenants.backups import archive, contents
from tenants.backups.making import FORMAT, BackupError, path_of
from tenants.models import Backup, Organisation
from tenants.upgrades import versions

LOCK_WAIT: Final = "5s"
# What a schema's comment says while no organisation owns it, so that one that a killed process left
# behind is found and dropped (`drop_leftovers`).
_DRAFT = "pulsecloud: being put back for "
_REPLACED = "pulsecloud: replaced for "


class RestoreRefused(BackupError):
    """Nothing was changed. Codes of archive.ArchiveError, and newer_version, not_verified, file_missing,
    not_done, not_kept, not_prepared, org_not_ready, restore_running, missing_reason, no_owner."""


@dataclass
class Built:
    """A schema that holds what the backup held, as this release's migrations have it."""

    schema: str
    rows: dict[str, int]  # of each table, as in the backup
    migrated: list[str]  # migrations that the backup lacked
    public: dict[str, bytes] = field(default_factory=dict)  # model -> lines of JSON


def build(backup: Backup) -> Built:
    """A new schema, loaded, verified against the digests in the file, and migrated when the backup is of
    an older release. Whoever calls it switches to it or drops it. Raises RestoreRefused, OSError and
    database errors; then there is no schema."""
    name = schemas.new_schema_name()
    try:
        with transaction.atomic():
            built = _load(backup, name)
        built.migrated = _bring_on(name)
    except archive.ArchiveError as error:
        raise RestoreRefused(error.code, str(error)) from error
    except schema_template.TemplateError as error:
        raise RestoreRefused("not_prepared", str(error)) from error
    except FileNotFoundError as error:
        raise RestoreRefused("file_missing", f"The file is not there: {backup.file}") from error
    except BaseException:
        if connection.is_usable():
            schemas.drop_schema(name)
        raise
    return built


def mark_replaced(schema: str, organisation: UUID) -> None:
    """In the transaction of the switch: the schema that it had is nobody's now."""
    _comment(schema, f"{_REPLACED}{organisation}")


def mark_used(schema: str) -> None:
    """In the transaction of the switch: this one is an organisation's now."""
    _comment(schema, None)


@contextmanager
def alone(organisation: UUID) -> Iterator[None]:
    """Nobody else puts this organisation back meanwhile. Raises RestoreRefused."""
    with locks.alone(f"put back {organisation}") as mine:
        if not mine:
            raise RestoreRefused("restore_running", "It is being put back already.")
        yield


def drop_soon(schema: str) -> bool:
    """Nobody finds it any more. Whoever still reads it keeps it: then the worker tries again later, and
    does not wait in a queue that may never end."""
    with suppress(Error), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_WAIT])
        dropped = schemas.drop_schema(schema)
        cursor.execute("SET LOCAL lock_timeout = DEFAULT")  # a deletion goes on in its transaction
        return dropped
    return False


def drop_leftovers(*, of: UUID | None = None) -> int:
    """Schemas that belong to nobody because a process was killed before or after the switch: all of
    them, or those that were made for one organisation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname, right(obj_description(oid, 'pg_namespace'), 36) FROM pg_namespace"
            " WHERE obj_description(oid, 'pg_namespace') ~ %s",
            [f"^({_DRAFT}|{_REPLACED})"],
        )
        found: list[tuple[str, str]] = cursor.fetchall()
    dropped = 0
    for name, organisation in found:
        if of is not None and UUID(organisation) != of:
            continue
        try:
            with alone(UUID(organisation)):
                owned = Organisation.objects.filter(schema_name=name).exists()
                dropped += not owned and drop_soon(name)
        except RestoreRefused:
            continue  # it is at work
    return dropped


def _load(backup: Backup, name: str) -> Built:
    frames = archive.read(path_of(backup), organisation=backup.organisation_id, backup=backup.pk)
    _, first = next(frames)
    manifest = archive.told(first)
    if manifest["format"] != FORMAT:
        raise RestoreRefused(
            "newer_version", "The file has a form that this release does not know. Upgrade first."
        )
    _create(name, manifest["migrations"])
    _comment(name, f"{_DRAFT}{backup.organisation_id}")
    tables = {table.name: table for table in contents.tables(name)}
    built = Built(name, rows={}, migrated=[])
    with connection.cursor() as cursor:
        contents.spell_alike(cursor)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # tables come in any order
        every = sql.SQL(", ").join(table.identifier for table in tables.values())
        cursor.execute(sql.SQL("TRUNCATE {}").format(every))
        for part, columns, pieces in _parts(frames):
            place, _, what = part.partition("/")
            if place == "public":
                built.public[what] = b"".join(pieces)
                continue
            if what not in tables:
                raise RestoreRefused("not_verified", f"There is no place for the table {what}.")
            table = contents.Table(name, what, columns)
            with connection.wrap_database_errors, cursor.copy(table.rows_in()) as copied:
                for piece in pieces:
                    copied.write(piece)
            built.rows[what] = _verified(table, pieces.end)
        for table in tables.values():
            _count_on(cursor, table)
        # Foreign keys are checked now, and not when the next statement alters a table.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    missing = set(tables) - set(built.rows)
    if missing:
        raise RestoreRefused(
            "not_verified", f"The backup lacks tables: {', '.join(sorted(missing))}"
        )
    return built


class _Pieces:
    """The bytes of one part; `end` is what the file says of it, once they are all read."""

    def __init__(self, frames: Iterator[tuple[str, bytes]]) -> None:
        self._frames = frames
        self.end: dict[str, Any] = {}

    def __iter__(self) -> Iterator[bytes]:
        for kind, payload in self._frames:
            if kind == "E":
                self.end = archive.told(payload)
                return
            yield payload


def _parts(
    frames: Iterator[tuple[str, bytes]],
) -> Iterator[tuple[str, tuple[str, ...], _Pieces]]:
    for kind, payload in frames:
        if kind == "B":
            begins = archive.told(payload)
            yield begins["part"], tuple(begins["columns"]), _Pieces(frames)


def _create(name: str, migrations: list[list[str]]) -> None:
    """A schema with the tables that those migrations make."""
    had = {(app, migration) for app, migration in migrations}
    unknown = sorted(".".join(key) for key in had - versions.release().known)
    if unknown:
        raise RestoreRefused(
            "newer_version",
            f"The backup is of a newer release, which had {', '.join(unknown)}. Upgrade first.",
        )
    if not versions.release().lacking(had):
        schemas.create_schema(name)
        return
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schemas.checked(name))))
    with schemas.only_inside(name):
        MigrationRecorder(connection).ensure_schema()
        last = {key[0]: key for key in versions.release().order if key in had}
        MigrationExecutor(connection).migrate(list(last.values()))
    versions.note(name, version=versions.release().version_of(had))


def _bring_on(name: str) -> list[str]:
    """Runs the migrations that the backup's release did not have yet; names them."""
    lacking = versions.release().lacking(contents.migrations(name))
    if lacking:
        schemas.migrate_schema(name)
    return [".".join(key) for key in lacking]


def _verified(table: contents.Table, end: dict[str, Any]) -> int:
    """The number of rows, after comparing what the table holds now with what was written then."""
    rows, digest = contents.digest(contents.table_bytes(table))
    if (rows, digest) != (end["rows"], end["sha256"]):
        raise RestoreRefused("not_verified", f"The table {table.name} did not come back as it was.")
    return rows


def _count_on(cursor: Any, table: contents.Table) -> None:
    """Lets numbers that the database gives out go on after the highest one that came back."""
    for column in table.columns:
        cursor.execute(
            "SELECT pg_get_serial_sequence(%s, %s)",
            [f'"{table.schema}"."{table.name}"', column],
        )
        sequence = cursor.fetchone()[0]
        if sequence is not None:
            query = sql.SQL("SELECT setval(%s, coalesce(max({0}), 0) + 1, false) FROM {1}")
            cursor.execute(query.format(sql.Identifier(column), table.identifier), [sequence])


def _comment(schema: str, text: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(
                sql.Identifier(schemas.checked(schema)), sql.Literal(text)
            )
        )
