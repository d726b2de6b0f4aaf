"""What an organisation's owner takes along: all of its data as JSON and as SQL, without a secret.

Both hold the same tables with the same columns. Secrets are left out by their form: columns of bytes,
and columns whose name says hash, secret, sealed, password or token. What is the platform's own
business is left out by name. What staff did is told as the audit pages tell it: not who, nor from
where.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from audit import trail
from audit.actors import Actor
from tenants.backups import contents
from tenants.backups.making import HAS_DATA, BackupError
from tenants.models import Organisation
from tenants.schemas import schema_exists

FORMATS: Final = ("json", "sql")
# Tables under the names that people know. A table of the schema that has none here keeps its own.
_NAMES: Final = {
    "rbac_role": "roles",
    "rbac_permission": "permissions",
    "rbac_assignment": "role_assignments",
    "rbac_groupmapping": "sso_group_mappings",
    "rbac_apitoken": "api_tokens",
    "rbac_change": "role_changes",
    "tenants_organisation": "organisation",
    "tenants_user": "people",
    "tenants_membership": "memberships",
    "tenants_memberinvitation": "invitations",
    "tenants_domain": "hosts",
    "tenants_ssoprovider": "sso_providers",
    "tenants_ssoidentity": "sso_identities",
    "billing_billingstate": "billing",
    "billing_lease": "leases",
    "relay_registration": "relay_registration",
    "audit_event": "audit_events",
}
# Rows of `public` with the models that hold them; people and audit events have conditions of their own.
_PUBLIC: Final = (
    "tenants.organisation",
    "tenants.domain",
    "tenants.membership",
    "tenants.memberinvitation",
    "tenants.ssoprovider",
    "tenants.ssoidentity",
    "billing.billingstate",
    "billing.lease",
    "relay.registration",
    "tenants.user",
    "audit.event",
)
_SECRET: Final = re.compile(r"hash|secret|sealed|passw|token|private", re.IGNORECASE)
# How we run things, and what tells about somebody's life elsewhere on the platform.
_NOT_THEIRS: Final = {
    "tenants_organisation": {"schema_name", "canary", "attempts", "failure", "rbac_version",
                             "invitation_id", "requests_per_minute"},
    "tenants_user": {"last_login", "is_superuser", "is_staff", "is_active"},
    "audit_event": {"uuid", "actor_id", "request_id"},
}  # fmt: skip
_ON_BEHALF: Final = "actor_kind IN ('staff', 'system')"
_SHOWN_AS: Final = {
    ("audit_event", "actor_label"): "CASE actor_kind WHEN 'staff' THEN 'Platform staff'"
    " WHEN 'system' THEN 'PulseCloud' ELSE actor_label END",
    ("audit_event", "address"): f"CASE WHEN {_ON_BEHALF} THEN NULL ELSE address END",
    ("audit_event", "path"): f"CASE WHEN {_ON_BEHALF} THEN '' ELSE path END",
}


class ExportRefused(BackupError):
    """`nothing_to_export`: it has no schema (yet, or any more)."""


@dataclass(frozen=True)
class Source:
    """One table of an export: where its rows are, which, and in what order."""

    name: str
    table: sql.Identifier
    columns: dict[str, str]  # name -> PostgreSQL type
    key: tuple[str, ...]
    where: sql.Composable
    shown_as: dict[str, str]

    def select(self) -> sql.Composed:
        shown = [
            sql.SQL("{} AS {}").format(
                sql.SQL(self.shown_as[name]) if name in self.shown_as else sql.Identifier(name),
                sql.Identifier(name),
            )
            for name in self.columns
        ]
        return sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            sql.SQL(", ").join(shown),
            self.table,
            self.where,
            sql.SQL(", ").join(map(sql.Identifier, self.key)),
        )


@dataclass(frozen=True)
class Exported:
    """The files, and the number of rows of each table."""

    files: list[Path]
    rows: dict[str, int]


def export(
    *,
    organisation: Organisation,
    to: Path,
    formats: Collection[str] = FORMATS,
    actor: Actor,
    reason: str = "",
) -> Exported:
    """Writes `<label>-<time>.json` and `.sql` into the directory `to`, readable by their owner only.

    All of it is of one moment. Works in every state in which there is data. Raises ExportRefused,
    OSError.
    """
    organisation = Organisation.objects.get(pk=organisation.pk)
    if organisation.state not in HAS_DATA or not schema_exists(organisation.schema_name):
        raise ExportRefused("nothing_to_export", "The organisation has no data to export.")
    at = timezone.now()
    stem = f"{organisation.label}-{at:%Y%m%d-%H%M%S}"
    to.mkdir(parents=True, exist_ok=True)
    files = [to / f"{stem}.{form}" for form in FORMATS if form in formats]
    rows: dict[str, int] = {}
    begun: list[Path] = []
    try:
        with contents.one_moment(organisation.schema_name):
            found = sources(organisation)
            for file in files:
                write = _write_json if file.suffix == ".json" else _write_sql
                with _private(file) as out:
                    begun.append(file)
                    rows = write(out, organisation, found, at)
    except BaseException:  # half an export may be taken for a whole one
        for file in begun:
            file.unlink(missing_ok=True)
        raise
    with transaction.atomic():
        trail.record(
            action="org_exported",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
            after={
                "formats": [file.suffix[1:] for file in files],
                "rows": sum(rows.values()),
                "sha256": {file.suffix[1:]: _sha256(file) for file in files},
            },
        )
    return Exported(files, rows)


def sources(organisation: Organisation) -> list[Source]:
    """Every table of an export, with only the columns that may go out."""
    everything = sql.SQL("true")
    found = [
        _source(organisation.schema_name, table.name, everything)
        for table in contents.tables(organisation.schema_name)
    ]
    for label in _PUBLIC:
        model: Any = apps.get_model(label)
        found.append(_source("public", model._meta.db_table, _mine(model, organisation)))
    return found


def _mine(model: Any, organisation: Organisation) -> sql.Composable:
    own = sql.Literal(str(organisation.pk))
    if model is Organisation:
        return sql.SQL("id = {}::uuid").format(own)
    field = contents.pointer(model)
    if field is not None:
        return sql.SQL("{} = {}::uuid").format(sql.Identifier(str(field.column)), own)
    return sql.SQL(
        "id IN (SELECT user_id FROM public.tenants_membership WHERE organisation_id = {0}::uuid"
        " UNION SELECT user_id FROM public.tenants_ssoidentity WHERE organisation_id = {0}::uuid)"
    ).format(own)


def _source(schema: str, table: str, where: sql.Composable) -> Source:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(i.indisprimary,"
            " false) FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid"
            " AND i.indisprimary AND a.attnum = ANY(i.indkey)"
            " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped"
            " ORDER BY a.attnum",
            [f'"{schema}"."{table}"'],
        )
        rows = cursor.fetchall()
    withheld = _NOT_THEIRS.get(table, set())
    columns = {
        name: kind
        for name, kind, _ in rows
        if kind != "bytea" and not _SECRET.search(name) and name not in withheld
    }
    shown = {column: text for (of, column), text in _SHOWN_AS.items() if of == table}
    key = tuple(name for name, _, primary in rows if primary)
    return Source(
        _NAMES.get(table, table), sql.Identifier(schema, table), columns, key, where, shown
    )


def _write_json(
    out: IO[str], organisation: Organisation, found: list[Source], at: datetime
) -> dict[str, int]:
    """One object; every row on a line of its own, so that it can be read without reading all of it."""
    head = {
        "format": "pulsecloud-export",
        "formatVersion": 1,
        "exportedAt": at.isoformat(timespec="seconds"),
        "pulsecloud": settings.VERSION,
        "organisation": {"id": str(organisation.pk), "label": organisation.label},
        "leftOut": "Passwords, hashes of tokens, keys and other secrets.",
    }
    out.write(json.dumps(head)[:-1] + ', "tables": {')
    rows: dict[str, int] = {}
    for number, source in enumerate(found):
        out.write(("," if number else "") + f"\n{json.dumps(source.name)}: [")
        rows[source.name] = 0
        query = sql.SQL("SELECT row_to_json(r)::text FROM ({}) r").format(source.select())
        for line in _lines(query):
            out.write(("," if rows[source.name] else "") + "\n" + line)
            rows[source.name] += 1
        out.write("]")
    out.write("\n}}\n")
    return rows


def _write_sql(
    out: IO[str], organisation: Organisation, found: list[Source], at: datetime
) -> dict[str, int]:
    """For PostgreSQL: `psql -f` makes a schema of its own with a table each. No foreign keys, because
    some of what they would point to stays with us."""
    schema = f"pulsecloud_{organisation.label}".replace("-", "_")
    out.write(
        f"-- {organisation.label}, exported from PulseCloud {settings.VERSION} on "
        f"{at:%Y-%m-%d %H:%M:%S} UTC. No secrets.\n"
        "SET standard_conforming_strings = on;\nSET client_encoding = 'UTF8';\nBEGIN;\n"
    )
    out.write(_text(sql.SQL("CREATE SCHEMA {};\n").format(sql.Identifier(schema))))
    rows: dict[str, int] = {}
    for source in found:
        table = sql.Identifier(schema, source.name)
        parts = [
            sql.SQL("  {} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in source.columns.items()
        ]
        if set(source.key) <= source.columns.keys():
            key = sql.SQL(", ").join(map(sql.Identifier, source.key))
            parts.append(sql.SQL("  PRIMARY KEY ({})").format(key))
        out.write(
            _text(
                sql.SQL("\nCREATE TABLE {} (\n{}\n);\n").format(table, sql.SQL(",\n").join(parts))
            )
        )
        columns = [sql.Identifier(name) for name in source.columns]
        into = _text(
            sql.SQL("INSERT INTO {} ({}) VALUES (").format(table, sql.SQL(", ").join(columns))
        )
        quoted = [sql.SQL("quote_nullable(r.{}::text)").format(column) for column in columns]
        query = sql.SQL("SELECT concat_ws(', ', {}) FROM ({}) r").format(
            sql.SQL(", ").join(quoted), source.select()
        )
        rows[source.name] = 0
        for line in _lines(query):
            out.write(into + line + ");\n")
            rows[source.name] += 1
    out.write("COMMIT;\n")
    return rows


def _lines(query: sql.Composed) -> Iterator[str]:
    """Rows of one text each, fetched bit by bit."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query)
        while found := cursor.fetchmany(500):
            for (line,) in found:
                yield line


def _text(composed: sql.Composable) -> str:
    with connection.cursor() as cursor:
        return composed.as_string(cursor.cursor)


def _private(file: Path) -> IO[str]:
    """A new file that nobody else may read; never over one that is there."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
