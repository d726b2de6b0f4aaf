"""What belongs to one organisation: every table of its schema, and its rows in `public`.

Tables are found by looking into the catalog, rows of `public` by looking for models that point at an
organisation: a new one must be named below, or a test fails. Names of other rooms' models are texts
here; nothing of theirs is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.db.models import QuerySet
from psycopg import sql

from tenants.models import Organisation

# Its rows in `public` that a backup holds.
KEPT: Final = (
    "tenants.organisation",
    "tenants.domain",
    "tenants.membership",
    "tenants.ssoprovider",
    "tenants.ssoidentity",
    "billing.billingstate",
    "relay.registration",
    "relay_server.licencebinding",
)
# And those that it does not hold, with the reason.
LEFT_OUT: Final = {
    "audit.event": "the trail is never rolled back; it outlives what it is about",
    "billing.lease": "says what was signed, and nothing that was signed then is good now",
    "billing.refreshtoken": "a credential: restoring revokes it",
    "relay.relaystatus": "what the runtime says now",
    "relay_server.blockedinstance": "the life cycle's, which a restore leaves alone",
    "relay_server.session": "a credential of a live connection",
    "tenants.backup": "about the backups themselves",
    "tenants.deletionreceipt": "made when it is gone",
    "tenants.link": "single-use links and hand-offs",
    "tenants.memberinvitation": "its link is in a mail: whoever is wanted is invited again",
    "tenants.removal": "the life cycle's, which a restore leaves alone",
    "tenants.steprecord": "how it was set up",
}
MIGRATIONS_TABLE: Final = "django_migrations"


@dataclass(frozen=True)
class Table:
    """One table of a schema; `columns` in the order of the rows that are read and written."""

    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def rows_out(self) -> sql.Composed:
        """COPY of its rows in an order that their values alone decide: equal data gives equal bytes."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL(
            'COPY (SELECT {0} FROM {1} ORDER BY (ROW({0}))::text COLLATE "C") TO STDOUT'
        ).format(columns, self.identifier)

    def rows_in(self) -> sql.Composed:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL("COPY {} ({}) FROM STDIN").format(self.identifier, columns)


class _Exactly(DjangoJSONEncoder):
    """Django's own encoder drops the microseconds."""

    def default(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else super().default(value)


@contextmanager
def one_moment(schema: str) -> Iterator[None]:
    """Everything read inside is of the same moment, and reads as the same text in every session.

    The schema's tables keep their form until it ends: one that a migration writes anew would be
    empty for whoever looks from before, and so would a backup of it. Locks come before the first
    look, because that is when the moment is. Inside a caller's transaction it is that transaction's
    view, and its locks.
    """
    own = not connection.in_atomic_block
    there = tables(schema) if own else []
    with transaction.atomic():
        with connection.cursor() as cursor:
            if own:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if there:
                every = sql.SQL(", ").join(table.identifier for table in there)
                cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(every))
            spell_alike(cursor)
        yield


def spell_alike(cursor: Any) -> None:
    """Times, numbers and bytes as one text, whatever the server's settings; until the transaction ends."""
    cursor.execute(
        "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD';"
        " SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 1;"
        " SET LOCAL bytea_output = 'hex'"
    )


def tables(schema: str) -> list[Table]:
    """Every table of the schema that exists in the database, by name; the migrations' one left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind IN ('r', 'p')"
            " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
            " AND c.relname <> %s GROUP BY c.relname ORDER BY c.relname",
            [schema, MIGRATIONS_TABLE],
        )
        return [Table(schema, str(name), tuple(columns)) for name, columns in cursor.fetchall()]


def migrations(schema: str) -> list[tuple[str, str]]:
    """The migrations of the tenant apps that this schema has, as (app, name) in order of application."""
    labels = [name.rpartition(".")[2] for name in settings.TENANT_APPS]
    query = sql.SQL("SELECT app, name FROM {} WHERE app = ANY(%s) ORDER BY id")
    with connection.cursor() as cursor:
        cursor.execute(query.format(sql.Identifier(schema, MIGRATIONS_TABLE)), [labels])
        return [(str(app), str(name)) for app, name in cursor.fetchall()]


def table_bytes(table: Table) -> Iterator[bytes]:
    """Its rows as COPY text, a line each, in pieces."""
    # Django turns psycopg's errors into its own at every call but those of a COPY.
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(table.rows_out()) as copied,
    ):
        for piece in copied:
            yield bytes(piece)


def rows_of(label: str, organisation: Organisation) -> QuerySet[Any]:
    """This organisation's rows of a model of `public`, in order of their keys."""
    model: type[models.Model] = apps.get_model(label)
    if model is Organisation:
        return model._default_manager.filter(pk=organisation.pk)
    field = pointer(model)
    if field is None:
        raise LookupError(f"{label} does not belong to an organisation")
    value: Any = organisation if field.remote_field else organisation.pk
    return model._default_manager.filter(**{field.name: value}).order_by("pk")


def row_bytes(label: str, organisation: Organisation) -> Iterator[bytes]:
    """Those rows, a line of JSON each."""
    for row in rows_of(label, organisation).iterator(chunk_size=500):
        (found,) = serializers.serialize("python", [row])
        yield json.dumps(found, cls=_Exactly, sort_keys=True).encode() + b"\n"


def pointer(model: type[models.Model]) -> models.Field[Any, Any] | None:
    """The field by which a model's rows belong to an organisation, if there is one."""
    for field in model._meta.concrete_fields:
        if field.remote_field and field.remote_field.model is Organisation:
            return field
        if isinstance(field, models.UUIDField) and field.name == "organisation":
            return field
    return None


def parts(organisation: Organisation) -> Iterator[tuple[str, tuple[str, ...], Iterator[bytes]]]:
    """(name, columns, bytes) of everything that a backup of the organisation holds.

    A part of its schema is named `schema/<table>`, one of `public` `public/<model>`, without columns.
    """
    for table in tables(organisation.schema_name):
        yield f"schema/{table.name}", table.columns, table_bytes(table)
    for label in KEPT:
        yield f"public/{label}", (), row_bytes(label, organisation)


def digest(pieces: Iterator[bytes]) -> tuple[int, str]:
    """(rows, hex SHA-256) of a part."""
    hashed, rows = hashlib.sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        rows += piece.count(b"\n")  # inside a value a line's end is written \n
    return rows, hashed.hexdigest()
