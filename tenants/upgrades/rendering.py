"""Each migration's SQL, worked out once and good for every schema.

On a draft schema, which Django's own executor migrates step by step: what the SQL needs to look up
(names of constraints and sequences) is there as in any organisation's schema. So a migration
that cannot work fails here, before it touched anybody's data.

Not every migration is the same everywhere. These stay with Django's executor, schema by schema:
Python operations, operations that are not Django's own, migrations outside a transaction, squashed
ones, those whose SQL came out differently the second time (a default that is a random key or
the time of day must not be shared by everybody), and those that say `{schema}` themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, connection
from django.db.migrations import Migration, SeparateDatabaseAndState
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from tenants import schema_template, schemas
from tenants.upgrades import versions
from tenants.upgrades.versions import Key

PLACE = "{schema}"  # stands for the schema's name where the SQL needs it


class BrokenMigration(Exception):
    """A migration does not work on an empty draft, so it was tried on no organisation."""


@dataclass(frozen=True)
class Rendered:
    """One migration. Without `sql` Django runs it, and `why` says why."""

    key: Key
    sql: str | None
    why: str = ""

    @property
    def name(self) -> str:
        return ".".join(self.key)


def render(wanted: Collection[Key]) -> list[Rendered]:
    """These migrations, in order. Call it inside `schema_template.alone()`; takes about a second.

    Raises BrokenMigration, naming the migration.
    """
    order = versions.release().order
    found: list[Rendered] = []
    last = max((order.index(key) for key in wanted), default=-1)
    with schema_template.draft() as draft, schemas.only_inside(draft):
        MigrationRecorder(connection).ensure_schema()
        executor = MigrationExecutor(connection)
        for key in order[: last + 1]:
            migration = executor.loader.graph.nodes[key]
            state = executor.loader.project_state(key, at_end=False)
            try:
                if key in wanted:
                    found.append(_render(migration, key, state, draft))
                executor.apply_migration(state, migration)
            except Exception as error:  # whatever a migration raises
                raise BrokenMigration(f"{'.'.join(key)}: {describe(error)}") from error
    return found


def describe(error: BaseException) -> str:
    """What went wrong, without the values that PostgreSQL puts into its details."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    text = primary or (type(error).__name__ if cause else str(error)) or "no message"
    return f"{type(cause or error).__name__}: {' '.join(text.split())[:300]}"


def _render(migration: Migration, key: Key, state: ProjectState, draft: str) -> Rendered:
    if migration.replaces:
        return Rendered(key, None, "squashed")
    if not migration.atomic:
        return Rendered(key, None, "runs outside a transaction")
    if foreign := _not_plain(migration.operations):
        return Rendered(key, None, f"has {foreign}")
    once, again = _sql(migration, state), _sql(migration, state)
    if once != again:
        return Rendered(key, None, "has a default that is different each time")
    if PLACE in once:
        return Rendered(key, None, f"says {PLACE} itself")
    return Rendered(key, once.replace(draft, PLACE))


def _not_plain(operations: Sequence[Operation]) -> str:
    """The name of the first operation that is more than SQL of Django's own making."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            if inner := _not_plain(operation.database_operations):
                return inner
        elif not operation.reduces_to_sql or not type(operation).__module__.startswith("django."):
            return type(operation).__name__
    return ""


def _sql(migration: Migration, state: ProjectState) -> str:
    with connection.schema_editor(collect_sql=True, atomic=True) as editor:
        migration.apply(state.clone(), editor, collect_sql=True)
    # Django's own remarks are single lines. SQL written by hand may begin with a remark, or end with
    # one, which swallows the semicolon.
    collected = editor.collected_sql or []
    written = [sql for sql in collected if not sql.startswith("--") or "\n" in sql]
    return "\n".join(f"{sql}\n;" if "--" in sql else sql for sql in written)
