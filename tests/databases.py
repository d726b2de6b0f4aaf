"""Test databases: one template per set of migrations, one copy of it per worker and run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from django.apps import apps
from django.conf import settings
from django.db import connections

from pulsecloud import postgres
from pulsecloud.processes import alive
from tests.settings import CACHE

ROOT = Path(__file__).resolve().parent.parent
OURS = re.compile(r"^test_(\d+)_\w+$")


def migrations_hash() -> str:
    """Changes when any migration file of any installed app, or the way we migrate, does."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(repr((settings.SHARED_APPS, settings.TENANT_APPS)).encode())
    for config in sorted(apps.get_app_configs(), key=lambda c: c.label):
        folder = Path(config.path) / "migrations"
        for path in sorted(folder.glob("*.py")):
            digest.update(f"{config.label}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def url(name: str) -> str:
    """DATABASE_URL for another process that shall use this database."""
    return (
        f"postgresql://{postgres.USER}:{quote(postgres.password(CACHE), safe='')}@/{name}"
        f"?host={quote(str(postgres.socket_dir(CACHE)), safe='')}"
    )


def environment(name: str) -> dict[str, str]:
    """The environment of a `manage.py` process that shall use this database."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
        "DATABASE_URL": url(name),
    }


def create(suffix: str) -> str:
    """Makes an empty, migrated database of our own and returns its name."""
    template = ensure_template()
    name = f"test_{os.getpid()}_{suffix}"
    with postgres.connect(CACHE, database="postgres") as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    return name


def drop(name: str) -> None:
    with postgres.connect(CACHE, database="postgres") as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """One test process at a time, of those that share the cache; a killed one holds nothing."""
    with (CACHE / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_template() -> str:
    """The name of the migrated template database; made once per set of migrations."""
    name = f"template_{migrations_hash()}"
    with only_one("template.lock"), postgres.connect(CACHE, database="postgres") as connection:
        if _exists(connection, name):
            return name
        _drop_stale(connection)
        draft = f"{name}_draft"
        connection.execute(f'DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{draft}"')
        for command in (
            ["migrate_schemas", "--shared", "--skip-checks", "--verbosity=0"],
            ["prepare_schemas"],
        ):
            migrated = subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment(draft),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if migrated.returncode:
                raise RuntimeError(f"making the test template failed:\n{migrated.stderr}")
        with psycopg.connect(url(draft)) as made:
            # Databases that live for the whole run collect more organisations than a beta takes.
            made.execute(
                "INSERT INTO tenants_rollout (id, stage, stage_since, signups_stop_reason)"
                " VALUES (1, 'private_beta', now(), '')"
            )
        connection.execute(f'ALTER DATABASE "{draft}" RENAME TO "{name}"')
    return name


def _exists(connection: psycopg.Connection[object], name: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    return found.fetchone() is not None


def _drop_stale(connection: psycopg.Connection[object]) -> None:
    """Databases of runs that were killed, and all templates but the last few."""
    names = [
        str(row[0])  # type: ignore[index]
        for row in connection.execute("SELECT datname FROM pg_database ORDER BY oid").fetchall()
    ]
    dead = [n for n in names if (run := OURS.match(n)) and not alive(int(run[1]))]
    templates = [n for n in names if n.startswith("template_")]
    for name in dead + templates[:-4]:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def looking_into(database: str) -> Iterator[None]:
    """Django in this process works on another database of the same server meanwhile."""
    connection = connections["default"]
    before = connection.settings_dict["NAME"]
    _point_to(database)
    try:
        yield
    finally:
        _point_to(before)


def _point_to(name: str) -> None:
    connections.close_all()
    connections.settings["default"]["NAME"] = name
    connections["default"].settings_dict["NAME"] = name
