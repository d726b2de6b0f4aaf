"""A run that is killed leaves each schema before or after a migration; the next goes on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tenants.upgrades import running, versions
from tests import databases
from tests.factories import make_organisation
from tests.product import ROOT
from tests.upgrades import release
from tests.upgrades.looking import columns, recorded, schemas_of_ours
from tests.upgrades.release import NextRelease


def run(database: str, next_release: NextRelease, fault: str) -> int:
    environment = databases.environment(database) | next_release.environment()
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate_orgs"],
        cwd=ROOT,
        env=environment | {"PULSECLOUD_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.covers("F22")
def test_after_each_schema(own_db: str, next_release: NextRelease) -> None:
    names = [make_organisation().schema_name for _ in range(2)]
    ours = schemas_of_ours()
    added = next_release.use(release.ADD_COLUMN, release.PYTHON)
    # Two migrations in each of two schemas: killed after each of the four.
    for left in reversed(range(4)):
        assert run(own_db, next_release, "upgrades.after_commit") == -signal.SIGKILL
        lacking = [versions.release().lacking(has) for has in versions.applied(names).values()]
        assert sum(len(keys) for keys in lacking) == left
        for name in names:
            assert ("colour" in columns(name)) == (added[0] in recorded(name))
    assert run(own_db, next_release, "") == 0
    for name in names:
        assert recorded(name).count(added[0]) == recorded(name).count(added[1]) == 1
    assert versions.behind() == versions.behind(look=True) == []
    assert schemas_of_ours() == ours  # the drafts of the killed runs, too


def test_before_a_commit_nothing_happened(own_db: str, next_release: NextRelease) -> None:
    name = make_organisation().schema_name
    next_release.use(release.ADD_COLUMN)
    before = recorded(name)
    assert run(own_db, next_release, "upgrades.before_commit") == -signal.SIGKILL
    assert recorded(name) == before
    assert "colour" not in columns(name)
    assert versions.behind() == [name]
    assert running.upgrade().migrated == 1
    assert "colour" in columns(name)
