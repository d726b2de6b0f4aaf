"""Ways to break the live product, one promise at a time, and to mend it again.

Most are triggers in the product's own database: the product runs unchanged and believes that it
kept its promise, which is just what the proof has to see through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

_FUNCTION = """
CREATE OR REPLACE FUNCTION public.sabotage() RETURNS {returns} LANGUAGE plpgsql AS $$
BEGIN {body} END $$
"""


@contextmanager
def trigger(
    connection: psycopg.Connection, *, tables: list[str], when: str, body: str
) -> Iterator[None]:
    """A row trigger on public tables while the block runs."""
    connection.execute(_FUNCTION.format(returns="trigger", body=body))
    for table in tables:
        connection.execute(
            f"CREATE TRIGGER sabotage {when} ON public.{table}"
            " FOR EACH ROW EXECUTE FUNCTION public.sabotage()"
        )
    try:
        yield
    finally:
        for table in tables:
            connection.execute(f"DROP TRIGGER sabotage ON public.{table}")
        connection.execute("DROP FUNCTION public.sabotage()")


@contextmanager
def tenant_trigger(
    connection: psycopg.Connection, *, table: str, when: str, body: str
) -> Iterator[None]:
    """The same on a tenant table of every schema that is made while the block runs."""
    connection.execute(_FUNCTION.format(returns="trigger", body=body))
    connection.execute(
        f"""
        CREATE OR REPLACE FUNCTION public.sabotage_schemas() RETURNS event_trigger
        LANGUAGE plpgsql AS $$
        DECLARE made record;
        BEGIN
          FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
            IF made.object_identity ~ '^org_[0-9a-f]{{32}}\\.{table}$' THEN
              EXECUTE format('CREATE TRIGGER sabotage {when} ON %s'
                ' FOR EACH ROW EXECUTE FUNCTION public.sabotage()', made.object_identity);
            END IF;
          END LOOP;
        END $$
        """
    )
    connection.execute(
        "CREATE EVENT TRIGGER sabotage_schemas ON ddl_command_end WHEN TAG IN ('CREATE TABLE')"
        " EXECUTE FUNCTION public.sabotage_schemas()"
    )
    try:
        yield
    finally:
        connection.execute("DROP EVENT TRIGGER sabotage_schemas")
        connection.execute("DROP FUNCTION public.sabotage_schemas()")
        connection.execute("DROP FUNCTION public.sabotage() CASCADE")
