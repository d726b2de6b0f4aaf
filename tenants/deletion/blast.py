"""What a deletion would take: the blast radius, shown before and noted in the receipt.

Rows are found by looking, not by remembering: every table of the organisation's schema, and every
table of `public` with a foreign key to organisations. What rows do not show (sockets, living
tokens) each room says of itself (`Effect.counts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Sum

from tenants.deletion import people
from tenants.effects import effects
from tenants.models import Backup, BackupState, Organisation, Session

# Tables of `public` that are about the deletion itself, or outlive it for a time of their own.
NOT_COUNTED: Final = frozenset(
    {"tenants_removal", "tenants_deletionreceipt", "tenants_backup", "relay_relaystatus"}
)


@dataclass(frozen=True)
class Blast:
    """`tables` are rows by table, of the schema and of `public`; `rows` is their sum. `bytes` is what
    the schema takes on disk, indexes included. `accounts` are people whose account goes as well,
    because nobody else knows them; `backups` and `backup_bytes` are encrypted copies, which stay
    until the day that the receipt names."""

    rows: int
    tables: dict[str, int]
    bytes: int
    sockets: int
    phones: int
    tokens: int
    refresh_tokens: int
    people: int
    accounts: int
    sessions: int
    backups: int
    backup_bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def blast_radius(organisation: Organisation) -> Blast:
    """Counts now; changes nothing. Reads every table of the schema once."""
    tables = {**schema_rows(organisation), **public_rows(organisation)}
    said: Counter[str] = Counter()
    for effect in effects():
        said.update(effect.counts(organisation))
    copies = Backup.objects.filter(organisation=organisation, state=BackupState.DONE).aggregate(
        count=Count("pk"), size=Sum("bytes")
    )
    return Blast(
        rows=sum(tables.values()),
        tables={name: count for name, count in sorted(tables.items()) if count},
        bytes=_bytes(organisation),
        sockets=said["sockets"],
        phones=said["phones"],
        tokens=said["tokens"],
        refresh_tokens=said["refresh_tokens"],
        people=organisation.memberships.count(),
        accounts=len(people.only_here(organisation)),
        sessions=Session.objects.filter(host=organisation.instance_host).count(),
        backups=copies["count"],
        backup_bytes=copies["size"] or 0,
    )


def schema_tables(organisation: Organisation) -> list[str]:
    """The tables of its schema, `django_migrations` left out; empty when there is no schema."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND c.relname <> 'django_migrations'"
            " ORDER BY c.relname",
            [organisation.schema_name],
        )
        return [row[0] for row in cursor.fetchall()]


def public_tables() -> list[tuple[str, str]]:
    """(table, column) of every foreign key in `public` to organisations."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conrelid::regclass::text, a.attname"
            " FROM pg_constraint c JOIN pg_attribute a"
            "   ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype = 'f' AND c.confrelid = 'public.tenants_organisation'::regclass"
            " ORDER BY 1, 2"
        )
        return [(table, column) for table, column in cursor.fetchall() if table not in NOT_COUNTED]


def schema_rows(organisation: Organisation) -> dict[str, int]:
    schema, tables = organisation.schema_name, schema_tables(organisation)
    counts = [f'SELECT %s, count(*) FROM "{schema}"."{name}"' for name in tables]  # noqa: S608
    return _counted(counts, tables)


def public_rows(organisation: Organisation) -> dict[str, int]:
    found = public_tables()
    counts = [
        f'SELECT %s, count(*) FROM public."{table}" WHERE "{column}" = %s'  # noqa: S608
        for table, column in found
    ]
    parameters = [each for table, _ in found for each in (table, organisation.pk)]
    return _counted(counts, parameters)


def _counted(selects: list[str], parameters: list[Any]) -> dict[str, int]:
    if not selects:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), parameters)
        return {name: int(count) for name, count in cursor.fetchall()}


def _bytes(organisation: Organisation) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind IN ('r', 'm')",
            [organisation.schema_name],
        )
        return int(cursor.fetchone()[0])


def in_words(counts: Mapping[str, Any]) -> list[str]:
    """A `Blast` as JSON in short lines for people; empty for none."""
    if not counts:
        return []
    lines = [
        f"{counts['rows']} rows in {len(counts['tables'])} tables, {size(counts['bytes'])} on disk",
        f"{_many(counts['sockets'], 'open socket')}, {_many(counts['phones'], 'paired phone')}, "
        f"{_many(counts['tokens'], 'API token')}",
        f"{_many(counts['people'], 'member')} let go, "
        f"{_many(counts['accounts'], 'account')} removed",
    ]
    if counts["backups"]:
        lines.append(
            f"{_many(counts['backups'], 'backup')} ({size(counts['backup_bytes'])}), kept some "
            "days longer"
        )
    return lines


def size(number: int) -> str:
    """`812 bytes`, `4.0 KiB`, `1.2 GiB`."""
    if number < 1024:
        return _many(number, "byte")
    units = ("KiB", "MiB", "GiB", "TiB")
    power = min(len(units), (number.bit_length() - 1) // 10)
    return f"{number / 1024**power:.1f} {units[power - 1]}"


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 's'}"
