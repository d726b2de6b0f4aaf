"""The fixtures that every other test stands on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.db import connection

from tests import databases


@pytest.mark.django_db
def test_db_is_migrated_and_rolled_back_first() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE left_behind (a int)")


@pytest.mark.django_db
def test_db_is_migrated_and_rolled_back_second() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('left_behind'), to_regclass('tenants_user')")
        assert cursor.fetchone() == (None, "tenants_user")


def test_live_db_is_seen_by_other_processes(live_db: None, database_name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE seen_by_others AS SELECT 42 AS answer")
    code = "from django.db import connection as c; q = c.cursor(); q.execute('SELECT answer FROM seen_by_others'); print(q.fetchone()[0])"
    said = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=databases.ROOT,
        env=databases.environment(database_name),
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == "42", said.stderr
