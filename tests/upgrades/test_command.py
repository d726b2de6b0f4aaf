"""`manage.py migrate_orgs`: what it says, and its exit codes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from rbac.models import Role
from tenants import schemas
from tests.factories import make_organisation
from tests.upgrades import release
from tests.upgrades.looking import columns
from tests.upgrades.release import NextRelease


def run(*options: str) -> tuple[int, str]:
    """(exit code, standard output)."""
    said = StringIO()
    try:
        call_command("migrate_orgs", *options, stdout=said, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), said.getvalue()
    except CommandError as error:
        return error.returncode, said.getvalue() + str(error)
    return 0, said.getvalue()


def run_json(*options: str) -> tuple[int, Any]:
    code, said = run(*options, "--json")
    return code, json.loads(said.splitlines()[0])


def test_it_migrates_and_says_how(own_db: str, next_release: NextRelease) -> None:
    for _ in range(2):
        make_organisation()
    next_release.use(release.ADD_COLUMN, release.PYTHON)
    code, said = run()
    assert code == 0
    assert said.startswith(
        "rbac.0003_next: one SQL for all\nrbac.0004_next: by Django: has RunPython\n"
        "2 of 2 schemas migrated to rbac.0004_next in "
    )
    code, told = run_json()
    assert told.pop("seconds") < 5
    assert (code, told) == (
        0,
        {
            "version": "rbac.0004_next",
            "behind": 0,
            "migrated": 0,
            "already_current": 0,
            "gone": 0,
            "left": 0,
            "migrations": [],
            "stragglers": [],
        },
    )


def test_a_limit_leaves_the_rest(own_db: str, next_release: NextRelease) -> None:
    for _ in range(3):
        make_organisation()
    next_release.use(release.ADD_COLUMN)
    code, told = run_json("--limit", "2")
    assert (code, told["migrated"], told["left"]) == (0, 2, 1)
    code, told = run_json()
    assert (code, told["migrated"], told["left"]) == (0, 1, 0)


def test_a_dry_run_shows_the_sql_and_changes_nothing(
    own_db: str, next_release: NextRelease
) -> None:
    name = make_organisation().schema_name
    next_release.use(release.ADD_COLUMN, release.PYTHON)
    code, said = run("--dry-run")
    assert code == 0
    assert 'ALTER TABLE "rbac_role" ADD COLUMN "colour"' in said
    assert "-- rbac.0004_next: has RunPython\n-- runs by Django's executor" in said
    assert "in 1 schemas" in said
    assert "colour" not in columns(name)
    code, told = run_json("--dry-run")
    assert [each["sql"] is None for each in told["migrations"]] == [False, True]


@pytest.mark.covers("F22")
def test_check_looks_into_every_schema(own_db: str, next_release: NextRelease) -> None:
    organisation = make_organisation()
    assert run("--check") == (0, "1 schemas, 0 behind rbac.0002_group_mapping.\n")
    with connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{organisation.schema_name}".django_migrations')
    code, said = run("--check")
    assert code == 1
    assert f"{organisation.label} ({organisation.schema_name}) is at nothing" in said
    assert "1 are noted wrongly" in said
    code, told = run_json("--check")
    assert (code, told["noted_wrongly"]) == (1, 1)
    assert told["behind"] == [
        {"schema": organisation.schema_name, "organisation": organisation.label, "version": ""}
    ]


def test_check_tells_of_a_newer_release(own_db: str) -> None:
    organisation = make_organisation()
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{organisation.schema_name}".django_migrations (app, name, applied)'
            " VALUES ('rbac', '0099_later', now())"
        )
    code, said = run("--check")
    assert code == 0
    assert "1 were migrated by a newer release" in said


def test_a_straggler_ends_it_with_1(own_db: str, next_release: NextRelease) -> None:
    organisation = make_organisation()
    with schemas.in_schema(organisation):
        Role.objects.create(id="stumble", name="stumble")
    next_release.use(release.STUMBLES)
    code, told = run_json()
    assert code == 1
    assert told["stragglers"][0]["organisation"] == organisation.label


def test_a_broken_migration_ends_it_with_2(own_db: str, next_release: NextRelease) -> None:
    make_organisation()
    next_release.use(release.BROKEN)
    code, told = run_json()
    assert code == 2
    assert told["error"].startswith("rbac.0003_next: UndefinedTable")


@pytest.mark.parametrize("options", [["--limit", "0"], ["--lock-timeout", "0"]])
def test_nonsense_is_refused(own_db: str, options: list[str]) -> None:
    code, said = run(*options)
    assert code == 2
    assert options[0] in said


@pytest.mark.covers("F22")
def test_set_up_fails_loudly_when_a_schema_stays_behind(
    own_db: str, next_release: NextRelease
) -> None:
    """`manage.py migrate` ends with 1; a start goes on, so that all others are served."""
    from pulsecloud import preparation

    organisation = make_organisation()
    with schemas.in_schema(organisation):
        Role.objects.create(id="stumble", name="stumble")
    next_release.use(release.STUMBLES)
    with pytest.raises(CommandError, match=rf"{organisation.label} .*no_stumble"):
        call_command("migrate", verbosity=0, stdout=StringIO(), stderr=StringIO())
    assert preparation.prepare_schemas() == (
        "0 schemas migrated; 1 FAILED, see `manage.py migrate_orgs`; the template was there already"
    )


def test_a_start_stops_for_a_migration_that_works_nowhere(
    own_db: str, next_release: NextRelease
) -> None:
    from pulsecloud import preparation

    make_organisation()
    next_release.use(release.BROKEN)
    with pytest.raises(preparation.CannotStart, match="rbac_nothing"):
        preparation.prepare_schemas()


@pytest.mark.parametrize("options", [[], ["--check"], ["--dry-run"]])
def test_before_the_platforms_own_migrations_it_says_so(own_db: str, options: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE public.tenants_schemaversion")
    code, said = run(*options)
    assert code == 2
    assert "run manage.py migrate" in said
