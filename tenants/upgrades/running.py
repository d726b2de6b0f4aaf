"""Runs what is lacking in every organisation's schema, while organisations are being served.

alone       one process at a time; a second one waits, and then finds nothing to do
render      each migration once, on a draft (tenants.upgrades.rendering)
per schema  one transaction a migration: its SQL, Django's record of it, and our note of the
            version; so a killed run leaves each schema before or after a migration, and the next
            run goes on from there
busy        who waits for a lock has everybody else wait behind them, so after LOCK_MS the schema
            is let go and tried again after the others
stragglers  what failed is noted with its error, and holds nobody else up
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from tenants import faults, schema_template, schemas
from tenants.upgrades import rendering, versions
from tenants.upgrades.rendering import PLACE, Rendered, describe
from tenants.upgrades.versions import Key

log = structlog.get_logger(__name__)

LOCK_MS: Final = 2_000
STATEMENT_MS: Final = 60_000
ROUNDS: Final = 5  # tries of a schema that is busy
PAUSE: Final = 0.5  # seconds before the second one; doubles
SAY_EVERY: Final = 2.0  # seconds between two lines of progress
_BUSY = {"55P03": "is busy", "40P01": "is busy"}  # lock_not_available, deadlock_detected
_TOO_SLOW = "57014"  # query_canceled: the statement time-out

NOT_PREPARED: Final = "The platform's own tables are not migrated yet: run manage.py migrate."

Say = Callable[[str], object]


class NotPrepared(Exception):
    """The platform's tables are older than this release."""


class DatabaseGone(Exception):
    """The connection broke. What was committed stays; run it again to go on."""


@dataclass(frozen=True)
class Straggler:
    """A schema that could not be brought up to date."""

    schema: str
    label: str
    error: str


@dataclass
class Report:
    """`behind` schemas were found, and are `migrated`, `current` (only the note was missing),
    `gone` (dropped meanwhile), `left` (over the limit) or stragglers."""

    version: str
    behind: int = 0
    migrated: int = 0
    current: int = 0
    gone: int = 0
    left: int = 0
    seconds: float = 0.0
    migrations: list[Rendered] = field(default_factory=list)
    stragglers: list[Straggler] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": self.version,
            "behind": self.behind,
            "migrated": self.migrated,
            "already_current": self.current,
            "gone": self.gone,
            "left": self.left,
            "seconds": round(self.seconds, 3),
            "migrations": [
                {"name": each.name, "by": "sql" if each.sql is not None else "django",
                 "why": each.why}
                for each in self.migrations
            ],
            "stragglers": [
                {"schema": each.schema, "organisation": each.label, "error": each.error}
                for each in self.stragglers
            ],
        }  # fmt: skip


def upgrade(
    *,
    limit: int | None = None,
    look: bool = False,
    lock_ms: int = LOCK_MS,
    statement_ms: int = STATEMENT_MS,
    say: Say = lambda text: None,
) -> Report:
    """Brings the schemas that are behind (at most `limit`) to this release's version.

    With `look` every schema is asked what it has; else the notes in `public` decide who is behind.
    `say` gets a line of progress now and then. Not inside a transaction. Raises BrokenMigration with
    nobody's schema touched, and DatabaseGone.
    """
    if connection.in_atomic_block:
        raise RuntimeError("Schemas are upgraded one transaction each, not within one.")
    if not versions.can_be_noted():
        raise NotPrepared(NOT_PREPARED)
    begun = time.monotonic()
    report = Report(versions.release().version)
    try:
        with schema_template.alone(say):
            todo = versions.behind(look=look)
            report.behind = len(todo)
            if limit is not None:
                report.left = max(0, len(todo) - limit)
                todo = todo[:limit]
            seen: set[str] = set()
            while todo:
                report.migrations += [x for x in plan(todo) if x not in report.migrations]
                _Run(report, lock_ms, statement_ms, say).through(todo)
                seen.update(todo)
                # The old release is serving, and has made or put back more of its own meanwhile.
                todo = [name for name in versions.behind() if name not in seen]
                if limit is not None:
                    break
                report.behind += len(todo)
    except (OperationalError, InterfaceError) as error:
        if connection.is_usable():
            raise
        connection.close()
        raise DatabaseGone(describe(error)) from error
    report.seconds = time.monotonic() - begun
    if report.behind:
        log.info(
            "schemas upgraded",
            version=report.version,
            migrated=report.migrated,
            left=report.left,
            stragglers=len(report.stragglers),
            seconds=round(report.seconds, 2),
        )
    return report


def plan(names: Sequence[str]) -> list[Rendered]:
    """The migrations that any of these schemas lacks, rendered, in order."""
    release = versions.release()
    lacking = {key for has in versions.applied(names).values() for key in release.lacking(has)}
    return rendering.render(lacking) if lacking else []


class _Run:
    def __init__(self, report: Report, lock_ms: int, statement_ms: int, say: Say) -> None:
        self.report = report
        self.lock_ms, self.statement_ms = lock_ms, statement_ms
        self.say = say
        self.rendered = {each.key: each for each in report.migrations}
        self.executor: MigrationExecutor | None = None
        self.states: dict[Key, ProjectState] = {}
        self.begun = self.said = time.monotonic()

    def through(self, names: list[str]) -> None:
        todo, total, pause = names, len(names), PAUSE
        for left in reversed(range(ROUNDS)):
            busy = []
            for name in todo:
                if not self._one(name, last=not left):
                    busy.append(name)
                self._progress(total)
            if not busy:
                return
            self.say(f"{len(busy)} of {total} schemas are busy; again in {pause:g} s")
            time.sleep(pause)
            todo, pause = busy, pause * 2

    def _one(self, name: str, *, last: bool) -> bool:
        """One schema; False when it is busy and should be tried again."""
        release = versions.release()
        has: set[Key] = set()
        try:
            found = versions.applied([name])
            if name not in found:
                self.report.gone += 1
                return True
            has = found[name]
            lacking = release.lacking(has)
            if not lacking:
                versions.note(name, version=release.version_of(has))
                self.report.current += 1
                return True
            with schemas.only_inside(name):
                if not has:
                    MigrationRecorder(connection).ensure_schema()
                for key in lacking:
                    self._apply(name, key, has)
            self.report.migrated += 1
        except Exception as error:  # whatever a migration raises
            if not connection.is_usable():
                raise
            if not schemas.schema_exists(name):
                self.report.gone += 1
                return True
            state = getattr(error.__cause__, "sqlstate", None)
            if state in _BUSY and not last:
                return False
            text = describe(error)
            if state == _TOO_SLOW:
                text += f" (over {self.statement_ms / 1000:g} s; --statement-timeout allows more)"
            elif state in _BUSY:
                text += f" (busy in {ROUNDS} tries; --lock-timeout waits longer)"
            versions.note_failure(name, version=release.version_of(has), error=text)
            self.report.stragglers.append(Straggler(name, _label(name), text))
            log.error("schema not upgraded", schema=name, error=text)
        return True

    def _apply(self, name: str, key: Key, has: set[Key]) -> None:
        """One migration in one schema; `has` grows by it."""
        begun = time.monotonic()
        migration = self.rendered.get(key)
        if migration is None:  # another process migrated it halfway meanwhile, or back
            raise RuntimeError(f"{'.'.join(key)} was not planned; run this again.")
        after = versions.release().version_of({*has, key})
        if migration.sql is not None:
            with transaction.atomic(), connection.cursor() as cursor:
                self._limit(cursor, local=True)
                cursor.execute(_batch(migration, name))
                versions.note(name, version=after, seconds=time.monotonic() - begun)
                faults.point("upgrades.before_commit")
        elif migration.why == "squashed":
            # Part of what it replaces may be there already; Django knows how to tell.
            with self._limited():
                schemas.migrate_schema(name)
        elif migration.why == "runs outside a transaction":
            with self._limited():
                _drop_unfinished_indexes(name)
                self._by_django(key)
                versions.note(name, version=after, seconds=time.monotonic() - begun)
        else:
            with transaction.atomic(), connection.cursor() as cursor:
                self._limit(cursor, local=True)
                cursor.execute(_hold(name))
                self._by_django(key)
                versions.note(name, version=after, seconds=time.monotonic() - begun)
        has.add(key)
        faults.point("upgrades.after_commit")

    def _by_django(self, key: Key) -> None:
        """One executor and one state of the models for all schemas: an executor reads every migration
        of the product, a state goes through all before this one."""
        if self.executor is None:
            self.executor = MigrationExecutor(connection)
        loader = self.executor.loader
        if key not in self.states:
            self.states[key] = loader.project_state(key, at_end=False)
            _ = self.states[key].apps  # made here, it is copied with the state
        self.executor.apply_migration(self.states[key].clone(), loader.graph.nodes[key])

    def _limit(self, cursor: Any, *, local: bool) -> None:
        """Time-outs, and no wait for the disk: a commit that a crash loses is done again, and it is
        lost as a whole."""
        scope = "LOCAL" if local else "SESSION"
        cursor.execute(
            f"SET {scope} lock_timeout = {self.lock_ms:d};"
            f" SET {scope} statement_timeout = {self.statement_ms:d};"
            f" SET {scope} synchronous_commit = off"
        )

    @contextmanager
    def _limited(self) -> Iterator[None]:
        with connection.cursor() as cursor:
            self._limit(cursor, local=False)
        try:
            yield
        finally:
            if connection.is_usable():
                with connection.cursor() as cursor:
                    cursor.execute(
                        "RESET lock_timeout; RESET statement_timeout; RESET synchronous_commit"
                    )

    def _progress(self, total: int) -> None:
        now = time.monotonic()
        if now - self.said < SAY_EVERY:
            return
        self.said = now
        report = self.report
        done = report.migrated + report.current + report.gone + len(report.stragglers)
        rate = done / (now - self.begun)
        self.say(
            f"{done} of {total} schemas, {rate:.0f} a second,"
            f" {(total - done) / rate if rate else 0:.0f} s left,"
            f" {len(report.stragglers)} failed"
        )


def _batch(migration: Rendered, name: str) -> str:
    """Everything of one migration for one schema, as one message to the server."""
    app, title = (_literal(part) for part in migration.key)
    noted = "INSERT INTO django_migrations (app, name, applied)"
    sql = (migration.sql or "").replace(PLACE, name)
    return f"{_hold(name)};\n{sql}\n;{noted} VALUES ({app}, {title}, now())"


def _hold(name: str) -> str:
    """Until the transaction ends nobody drops the schema (`schemas.drop_schema` asks for the same)."""
    return f"SELECT pg_advisory_xact_lock(hashtextextended({_literal(name)}, 0))"


def _drop_unfinished_indexes(name: str) -> None:
    """CREATE INDEX CONCURRENTLY that was stopped, by a kill or because the schema was busy, leaves an
    index that is not valid, and the next try would find its name taken."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('DROP INDEX IF EXISTS %%I.%%I', %s::text, c.relname) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE NOT i.indisvalid AND c.relnamespace = to_regnamespace(%s)",
            [name, name],
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _label(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT label FROM public.tenants_organisation WHERE schema_name = %s", [name]
        )
        row = cursor.fetchone()
    return row[0] if row else ""


def failures(report: Report) -> str:
    """A paragraph about what stayed behind."""
    lines = [f"  {each.label} ({each.schema}): {each.error}" for each in report.stragglers]
    return (
        f"{len(lines)} schema{'' if len(lines) == 1 else 's'} could not be migrated; their "
        "organisations may get errors until they are. Mend the cause and run `manage.py "
        "migrate_orgs`:\n" + "\n".join(lines)
    )
