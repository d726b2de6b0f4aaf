"""Advisory locks: held by one, until its block ends."""

from __future__ import annotations

import gc

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import locks
from tests import databases

pytestmark = pytest.mark.django_db


def test_one_holds_it_until_its_block_ends() -> None:
    key = locks.key("a name")
    with psycopg.connect(databases.url(connection.settings_dict["NAME"]), autocommit=True) as other:
        ask = "SELECT pg_try_advisory_lock(%s)"
        with pytest.raises(ZeroDivisionError), locks.alone("a name") as mine:
            assert mine
            assert other.execute(ask, [key]).fetchone() == (False,)
            raise ZeroDivisionError
        assert other.execute(ask, [key]).fetchone() == (True,)
        with locks.alone("a name") as mine:
            assert not mine
        assert other.execute("SELECT pg_advisory_unlock(%s)", [key]).fetchone() == (True,)


def test_a_block_that_is_forgotten_says_nothing_to_the_database() -> None:
    """The garbage collector comes in the middle of another statement of the same connection: a
    finaliser that asks the database would wait for its own thread, for ever."""
    block = locks.alone("forgotten")
    assert block.__enter__()
    with CaptureQueriesContext(connection) as asked:
        del block
        gc.collect()
    assert asked.captured_queries == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [locks.key("forgotten")])
