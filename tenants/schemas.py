"""The only module that switches PostgreSQL schemas (design section 4, rules 1-3).

Why not django-tenants' own ways: `schema_context` as a decorator keeps the previous tenant on a
shared object (F01), `with tenant:` keeps it on the class (F02), and both switch without looking
whether the schema exists, so that a query may silently be answered from `public` (F06).
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from tenants.models import SCHEMA_NAME, Organisation, State

PUBLIC = "public"
_NAME = re.compile(SCHEMA_NAME)
# Who may not be the one to call __enter__: code that runs what it was handed on another thread.
_THREAD_POOLS = ("asgiref.", "asyncio.", "concurrent.futures.", "anyio.", "threading")
# States in which a schema holds a customer's data.
_LIVING = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION)


class SchemaError(Exception):
    """A schema cannot be used as asked; base of the errors below."""


class SchemaMissing(SchemaError):
    """The schema does not exist."""


class SchemaExists(SchemaError):
    """A schema of that name is already there; an existing schema is never adopted (F05)."""


class SchemaInUse(SchemaError):
    """The schema belongs to an organisation that lives, so it is not dropped."""


def new_schema_name() -> str:
    """A name that was never used before: `org_` and a fresh random UUID in hex."""
    return f"org_{uuid.uuid4().hex}"


@contextmanager
def in_schema(organisation: Organisation) -> Iterator[None]:
    """`with in_schema(organisation):` runs the block in that organisation's schema.

    Synchronous only: raises SynchronousOnlyOperation inside an event loop, and when entering is
    handed to a thread by itself (F03, F04). Raises SchemaMissing when the schema is not there
    (F06), and SchemaError when this connection is in another organisation's schema already or the
    search path is not what was asked for. Entering the same schema once more inside is allowed.
    """
    if not isinstance(organisation, Organisation):
        raise TypeError("in_schema takes an Organisation")
    _refuse_async(sys._getframe(1))
    with _switched(organisation.schema_name):
        yield


@contextmanager
def schema_told() -> Iterator[str]:
    """The statement that tells PostgreSQL the current schema, to go before the next one in the
    same round trip; empty when it knows. Open the cursor inside.

    Both are one transaction: if the block fails, what was told may be undone, so it is told again.
    """
    wrapper = _wrapper()
    if wrapper.search_path_set_schemas:
        yield ""
        return
    asked = wrapper._get_cursor_search_paths()
    wrapper.search_path_set_schemas = asked  # so that the cursor need not
    try:
        yield "SET search_path = {}; ".format(", ".join(f'"{part}"' for part in asked))
    except BaseException:
        wrapper.search_path_set_schemas = None
        raise


def current() -> str:
    """The schema that this connection is in; PUBLIC outside."""
    return str(_wrapper().schema_name)


def schema_exists(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [checked(name)])
        return bool(cursor.fetchone()[0])


def create_schema(name: str) -> None:
    """Makes a tenant schema with all its tables, in one batch and one transaction.

    Joins the caller's transaction when there is one. Raises SchemaExists, and TemplateMissing
    when `manage.py prepare_schemas` has not run since the tenant migrations changed.
    """
    from tenants import schema_template
    from tenants.upgrades import versions

    sql = schema_template.render(checked(name))
    with transaction.atomic():
        # Two at once with one name: the loser waits here and then sees the winner's schema.
        _hold(name)
        if schema_exists(name):
            raise SchemaExists(name)
        with connection.cursor() as cursor:
            cursor.execute(sql)
        versions.note(name)


def drop_schema(name: str) -> bool:
    """Drops a schema and all in it; False when there was none.

    Raises SchemaInUse while an active, suspended or pending-deletion organisation owns it: purge
    and undo change the state first, so nothing else can take a customer's data with it (F24).
    """
    from tenants.upgrades import versions

    if _wrapper().schema_name == checked(name):
        raise SchemaError("This connection is in the schema that it should drop.")
    with transaction.atomic():
        _hold(name)  # or a migration of its tables and this could wait for each other
        if Organisation.objects.filter(schema_name=name, state__in=_LIVING).exists():
            raise SchemaInUse(name)
        if not schema_exists(name):
            return False
        versions.forget(name)
        with connection.cursor() as cursor:
            # Foreign keys that this transaction touched are checked now: PostgreSQL drops no table
            # that has checks outstanding.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f'DROP SCHEMA "{name}" CASCADE')
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    return True


@contextmanager
def only_inside(name: str) -> Iterator[None]:
    """For migrations: the schema of that name, without `public` behind it. Raises SchemaMissing."""
    with _switched(name, also_public=False):
        yield


def migrate_schema(name: str) -> None:
    """Runs the tenant migrations that a schema lacks with Django's executor; makes the schema when it
    is missing. For many schemas there is tenants.upgrades."""
    from tenants.upgrades import versions

    with connection.cursor() as cursor:
        cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{checked(name)}"')
    with only_inside(name):
        # Without this the recorder would find, and believe, the table of `public`.
        MigrationRecorder(connection).ensure_schema()
        executor = MigrationExecutor(connection)
        executor.migrate(tenant_migrations(executor.loader))
    versions.note(name)


def tenant_migrations(loader: MigrationLoader) -> list[tuple[str, str]]:
    """The newest migration of every tenant app, as (app, name)."""
    labels = [name.rpartition(".")[2] for name in settings.TENANT_APPS]
    return [key for label in labels for key in loader.graph.leaf_nodes(label)]


def cache_key(key: str, prefix: str, version: int) -> str:
    """KEY_FUNCTION of every cache: what one organisation cached, no other finds (F15)."""
    return f"{_wrapper().schema_name}:{prefix}:{version}:{key}"


@contextmanager
def _switched(name: str, *, also_public: bool = True) -> Iterator[None]:
    """The switch itself. All its state is in locals, and it goes back whatever happened."""
    name = checked(name)
    wrapper = _wrapper()
    before, included = wrapper.schema_name, wrapper.include_public_schema
    thread = threading.get_ident()
    if before not in (PUBLIC, name):
        raise SchemaError("This connection is in another organisation's schema.")
    wrapper.set_schema(name, include_public=also_public)
    try:
        _arrive(name, [name, PUBLIC] if also_public else [name])
        yield
    finally:
        # Only Python state: it works on a lost connection too, and the next cursor sends it.
        if before == PUBLIC:
            wrapper.set_schema_to_public()
        else:
            wrapper.set_schema(before, include_public=included)
        if threading.get_ident() != thread:
            raise SynchronousOnlyOperation("A schema was entered and left on different threads.")


def _wrapper() -> Any:
    """This thread's connection, as django-tenants' backend extends it."""
    return connections["default"]


def _arrive(name: str, expected: list[str]) -> None:
    """Sets the search path and looks where that led, in one round trip: a missing schema is
    skipped by PostgreSQL without a word (F06)."""
    with schema_told() as tell, connection.cursor() as cursor:
        cursor.execute(tell + "SELECT current_schema(), current_setting('search_path')")
        if tell:
            cursor.nextset()
        current, path = cursor.fetchone()
    if [part.strip().strip('"') for part in path.split(",")] != expected:
        raise SchemaError("The search path is not the one that was asked for.")
    if current != name:
        raise SchemaMissing(name)


def _hold(name: str) -> None:
    """Until the transaction ends nobody else makes, migrates or drops the schema of that name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _refuse_async(frame: FrameType | None) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise SynchronousOnlyOperation("in_schema() does not run inside an event loop.")
    # `await sync_to_async(manager.__enter__)()` switches a connection that other coroutines share:
    # then whoever called __enter__ is the thread pool itself. A whole function that enters and
    # leaves on one thread is fine.
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module != "contextlib":
            break
        frame = frame.f_back
    else:
        return
    if module.startswith(_THREAD_POOLS):
        raise SynchronousOnlyOperation("Enter and leave a schema within one synchronous function.")


def checked(name: str) -> str:
    """The name, if it has our form; it goes into SQL, so nothing else may pass (F08)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"Not a schema name of ours: {name!r}")
    return name
