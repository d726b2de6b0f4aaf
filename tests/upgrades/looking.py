"""What stands in schemas."""

from __future__ import annotations

from typing import Any

from django.db import connection

from tenants.models import SchemaVersion


def rows(sql: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]


def columns(schema: str, table: str = "rbac_role") -> set[str]:
    return set(
        rows(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s",
            schema,
            table,
        )
    )


def recorded(schema: str) -> list[str]:
    """The names of the applied migrations, as often as they are recorded."""
    return sorted(rows(f'SELECT name FROM "{schema}".django_migrations'))


def noted(schema: str) -> SchemaVersion:
    return SchemaVersion.objects.get(schema_name=schema)


def schemas_of_ours() -> set[str]:
    return set(rows(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'org\_%%'"))
