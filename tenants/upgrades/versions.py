"""Which migrations each organisation's schema has: one row a schema in `public.tenants_schemaversion`.

The rows are written in the transaction that makes, migrates or drops a schema, so that who is
behind is one query and not one a schema (measured: 110 ms a schema with `migrate_schemas`). What
stands in a schema itself decides: `survey` compares, and whoever migrates reads it first (F22).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Final

from django.conf import settings
from django.db import ProgrammingError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from tenants import schemas
from tenants.models import State

# A database with some 2,000 schemas ran out of memory for its backends' caches (F26). Starting a
# second one takes planning, so readiness warns long before (docs/scaling.md).
CEILING: Final = 2_000
WARN_AT: Final = 800
_AT_ONCE = 100  # schemas asked in one query; each costs the backend's cache an entry
_GONE = (State.PURGING, State.DELETED)

Key = tuple[str, str]  # (app, migration)


@dataclass(frozen=True)
class Release:
    """The tenant migrations of the code that runs."""

    order: tuple[Key, ...]  # in the order in which they are applied
    known: frozenset[Key]  # the same, and those that a squashed one replaces

    @property
    def version(self) -> str:
        """What a schema that has them all is at, such as "rbac.0002_group_mapping"."""
        return self.version_of(self.order)

    def version_of(self, applied: Iterable[Key]) -> str:
        """The last migration of each tenant app before the first that is lacking; empty when there is
        none.

        One that this release does not know was made by a newer one, and is the last. With something
        lacking it was made by another one, as of a release that was taken back: then it says nothing.
        """
        has = set(applied)
        parts = []
        for label in labels():
            ours = [key for key in self.order if key[0] == label]
            last = list(takewhile(has.__contains__, ours))[-1:]
            if len(last) and last[0] == ours[-1]:
                last += sorted(key for key in has - self.known if key[0] == label)
            parts += [".".join(key) for key in last[-1:]]
        return ", ".join(parts)

    def lacking(self, applied: Iterable[Key]) -> list[Key]:
        """What a schema with `applied` has still to get, in order."""
        has = set(applied)
        return [key for key in self.order if key not in has]

    def is_strange(self, version: str) -> bool:
        """Whether a note names a migration of another release, newer or taken back."""
        noted = [tuple(part.split(".", 1)) for part in version.split(", ") if part]
        return any(key not in self.known for key in noted)

    def is_behind(self, version: str) -> bool:
        """Whether a schema that is noted at `version` lacks something. A newer release's does not."""
        if version == self.version:
            return False
        noted = dict(part.split(".", 1) for part in version.split(", ") if part)
        last = {app: name for app, name in self.order}
        return any(
            app not in noted or (noted[app] != name and (app, noted[app]) in self.known)
            for app, name in last.items()
        )


@dataclass(frozen=True)
class Schema:
    """One organisation's schema: what is noted of it, and what it was found to have."""

    name: str
    label: str
    noted: str | None
    applied: frozenset[Key] | None = None  # None: nobody looked


def labels() -> list[str]:
    """The tenant apps."""
    return [name.rpartition(".")[2] for name in settings.TENANT_APPS]


@cache
def release() -> Release:
    """Read from disk once: files do not change under a running process."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    ours = set(labels())
    order: dict[Key, None] = {}
    for leaf in schemas.tenant_migrations(loader):
        for key in loader.graph.forwards_plan(leaf):
            if key[0] in ours:
                order[key] = None
    replaced = {old for key in order for old in loader.graph.nodes[key].replaces if old[0] in ours}
    return Release(tuple(order), frozenset([*order, *replaced]))


def can_be_noted() -> bool:
    """Whether the platform's tables are new enough to hold the notes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.tenants_schemaversion') IS NOT NULL")
        row = cursor.fetchone()
    return bool(row and row[0])


def note(schema_name: str, *, version: str | None = None, seconds: float = 0.0) -> None:
    """Writes down that a schema is at `version` (default: this release's), in the caller's
    transaction. Call it whenever a schema is made, migrated or restored."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.tenants_schemaversion"
            " (schema_name, version, at, seconds, attempts, error)"
            " VALUES (%s, %s, now(), %s, 0, '') ON CONFLICT (schema_name) DO UPDATE SET"
            " version = excluded.version, at = excluded.at, seconds = excluded.seconds,"
            " attempts = 0, error = ''",
            [schema_name, release().version if version is None else version, seconds],
        )


def note_failure(schema_name: str, *, version: str, error: str) -> None:
    """Writes down that bringing a schema on from `version` failed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.tenants_schemaversion"
            " (schema_name, version, at, seconds, attempts, error)"
            " VALUES (%s, %s, now(), 0, 1, %s) ON CONFLICT (schema_name) DO UPDATE SET"
            " version = excluded.version, at = excluded.at, error = excluded.error,"
            " attempts = LEAST(tenants_schemaversion.attempts + 1, 30000)",
            [schema_name, version, error],
        )


def forget(schema_name: str) -> None:
    """A schema was dropped."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM public.tenants_schemaversion WHERE schema_name = %s", [schema_name]
        )


def behind(*, look: bool = False) -> list[str]:
    """Names of the organisations' schemas that lack a migration, canaries' first.

    By what is noted, in one query. With `look` every schema is asked first and the notes are
    corrected, which also finds what was done behind our back. Without, those are asked whose note
    is another release's: a newer one's lacks nothing, that of one that was taken back may.
    """
    every = noted()
    ask = [each for each in every if look or release().is_strange(each.noted or "")]
    if ask:
        for found in _asked(ask):
            version = release().version_of(found.applied or ())
            if found.noted != version:
                note(found.name, version=version)
        every = noted()
    return [each.name for each in every if each.noted is None or release().is_behind(each.noted)]


def noted() -> list[Schema]:
    """Every schema of an organisation that is not being removed; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.schema_name, o.label, v.version FROM public.tenants_organisation o"
            " JOIN pg_namespace n ON n.nspname = o.schema_name"
            " LEFT JOIN public.tenants_schemaversion v ON v.schema_name = o.schema_name"
            " WHERE o.state <> ALL(%s) ORDER BY o.canary DESC, o.schema_name",
            [list(_GONE)],
        )
        return [Schema(*row) for row in cursor.fetchall()]


def survey() -> Iterator[Schema]:
    """The same with what each schema itself says; changes nothing."""
    yield from _asked(noted())


def _asked(every: Sequence[Schema]) -> Iterator[Schema]:
    for start in range(0, len(every), _AT_ONCE):
        some = every[start : start + _AT_ONCE]
        found = applied([each.name for each in some])
        for each in some:
            if each.name in found:  # else it was dropped meanwhile
                yield Schema(each.name, each.label, each.noted, frozenset(found[each.name]))


def applied(names: Sequence[str]) -> dict[str, set[Key]]:
    """{schema: the tenant migrations that it has}; a schema that does not exist is left out."""
    found: dict[str, set[Key]] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = [schemas.checked(name) for name in names[start : start + _AT_ONCE]]
        try:
            found |= _applied(some)
        except ProgrammingError:  # one of them was dropped in the middle of the question
            for name in some:
                with suppress(ProgrammingError):
                    found |= _applied([name])
    return found


def _applied(names: list[str]) -> dict[str, set[Key]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname, to_regclass(nspname || '.django_migrations') IS NOT NULL"
            " FROM pg_namespace WHERE nspname = ANY(%s)",
            [names],
        )
        there: list[tuple[str, bool]] = cursor.fetchall()
        found: dict[str, set[Key]] = {name: set() for name, _ in there}
        parts = [
            f"SELECT '{name}', app, name FROM \"{name}\".django_migrations"  # noqa: S608
            for name, recorded in there
            if recorded
        ]
        if parts:
            cursor.execute(" UNION ALL ".join(parts))
            for name, app, migration in cursor.fetchall():
                if app in labels():
                    found[name].add((app, migration))
    return found


def count() -> tuple[int, int]:
    """(schemas in this database, schemas of organisations that are behind); two short queries.

    The first counts every schema of ours, whosever it is: the catalog's size is what hurts.
    """
    with connection.cursor() as cursor:
        cursor.execute(r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'org\_%%'", [])
        (there,) = cursor.fetchone()
        cursor.execute(
            "SELECT coalesce(v.version, ''), count(*) FROM public.tenants_organisation o"
            " JOIN pg_namespace n ON n.nspname = o.schema_name"
            " LEFT JOIN public.tenants_schemaversion v ON v.schema_name = o.schema_name"
            " WHERE o.state <> ALL(%s) GROUP BY 1",
            [list(_GONE)],
        )
        by_version = Counter({version: int(number) for version, number in cursor.fetchall()})
    return int(there), sum(
        number for version, number in by_version.items() if release().is_behind(version)
    )
