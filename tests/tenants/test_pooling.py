"""Behind a pooler in transaction mode nothing starts; one in session mode is fine (F14)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from pulsecloud import postgres
from pulsecloud.processes import die_with_parent
from tenants.checks import pooling
from tenants.pooling import shares_connections
from tests import databases
from tests.plugin_not_run import PROGRAMS
from tests.product import ROOT, free_port
from tests.settings import CACHE
from tests.waiting import until

pytestmark = [pytest.mark.pgbouncer, pytest.mark.covers("F14")]


@contextmanager
def pooler(mode: str, database: str) -> Iterator[str]:
    """A PgBouncer before our cluster; yields the DATABASE_URL that leads through it."""
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    folder.chmod(0o755)
    port = free_port()
    password = postgres.password(CACHE)
    users = folder / "users.txt"
    users.write_text(f'"{postgres.USER}" "{password}"\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={postgres.socket_dir(CACHE)}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n"
        "ignore_startup_parameters = options,extra_float_digits\n"
    )
    command = [str(shutil.which("pgbouncer", path=PROGRAMS)), "-q", str(settings)]
    if os.geteuid() == 0:
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, preexec_fn=die_with_parent())
    url = f"postgresql://{postgres.USER}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"
    try:
        until(lambda: _answers(url), 10)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def checked(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--database", "default"],
        cwd=ROOT,
        env={**databases.environment(str(connection.settings_dict["NAME"])), "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_pool_of_transactions_is_refused(live_db: None) -> None:
    with pooler("transaction", str(connection.settings_dict["NAME"])) as url:
        said = checked(url)
    assert said.returncode != 0
    assert "tenants.E005" in said.stderr
    assert "session mode" in said.stderr


def test_a_pool_of_sessions_is_fine(live_db: None) -> None:
    with pooler("session", str(connection.settings_dict["NAME"])) as url:
        said = checked(url)
    assert "tenants.E005" not in said.stderr


def test_postgresql_itself_is_fine(live_db: None) -> None:
    assert not shares_connections()
    assert pooling(None, databases=["default"]) == []
