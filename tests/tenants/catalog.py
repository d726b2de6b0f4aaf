"""Describes a schema from PostgreSQL's catalogs, its own name left out, so that two compare."""

from __future__ import annotations

from typing import Any

from django.db import connection

_QUERIES = {
    "relations": """
        SELECT c.relname, c.relkind, c.relpersistence, c.relreplident, c.reloptions,
               coalesce(am.amname, ''), c.relrowsecurity
        FROM pg_class c LEFT JOIN pg_am am ON am.oid = c.relam
        WHERE c.relnamespace = %(schema)s::regnamespace""",
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity, a.attgenerated, a.attcollation, a.attstorage, a.attcompression,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
          AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": """
        SELECT c.relname, k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated,
               k.confupdtype, k.confdeltype, k.confmatchtype, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.connamespace = %(schema)s::regnamespace""",
    "indexes": """
        SELECT c.relname, i.indisunique, i.indisprimary, i.indisvalid, i.indimmediate,
               pg_get_indexdef(i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = %(schema)s::regnamespace""",
    "sequences": """
        SELECT c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin,
               s.seqmax, s.seqcache, s.seqcycle, d.deptype, owner.relname, a.attname,
               pg_sequence_last_value(c.oid)
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        LEFT JOIN pg_depend d ON d.objid = c.oid AND d.refobjsubid > 0
        LEFT JOIN pg_class owner ON owner.oid = d.refobjid
        LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE c.relnamespace = %(schema)s::regnamespace""",
    "triggers": """
        SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = %(schema)s::regnamespace""",
    "types": """
        SELECT typname, typtype FROM pg_type
        WHERE typnamespace = %(schema)s::regnamespace""",
}


def describe(schema: str) -> dict[str, list[Any]]:
    """Everything in `schema`, sorted, with each mention of its name replaced."""
    found: dict[str, list[Any]] = {}
    with connection.cursor() as cursor:
        for subject, query in _QUERIES.items():
            cursor.execute(query, {"schema": schema})
            found[subject] = sorted(
                (tuple(_nameless(value, schema) for value in row) for row in cursor.fetchall()),
                key=repr,
            )
        cursor.execute(f'SELECT app, name FROM "{schema}".django_migrations ORDER BY id')
        found["migrations"] = cursor.fetchall()
    return found


def _nameless(value: Any, schema: str) -> Any:
    return value.replace(schema, "<schema>") if isinstance(value, str) else value
