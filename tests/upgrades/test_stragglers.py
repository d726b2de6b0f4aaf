"""One organisation's failure is its own: it is named, and holds nobody else up."""

from __future__ import annotations

import pytest
from django.db import connection

from rbac.models import Role
from tenants import schemas
from tenants.upgrades import running, versions
from tenants.upgrades.rendering import BrokenMigration
from tests.factories import make_organisation
from tests.upgrades import release
from tests.upgrades.looking import columns, noted, recorded, schemas_of_ours
from tests.upgrades.release import NextRelease


@pytest.mark.covers("F22")
def test_it_is_named_and_the_others_go_on(own_db: str, next_release: NextRelease) -> None:
    first, bad, last = sorted(
        (make_organisation() for _ in range(3)), key=lambda each: each.schema_name
    )
    with schemas.in_schema(bad):
        Role.objects.create(id="stumble", name="stumble")
    added = next_release.use(release.ADD_COLUMN, release.STUMBLES)
    report = running.upgrade()
    assert report.migrated == 2
    (straggler,) = report.stragglers
    assert (straggler.schema, straggler.label) == (bad.schema_name, bad.label)
    assert "no_stumble" in straggler.error
    assert 'name = "stumble"' not in straggler.error
    # It has what worked, and is noted there.
    assert added[0] in recorded(bad.schema_name)
    assert added[1] not in recorded(bad.schema_name)
    assert noted(bad.schema_name).version == f"rbac.{added[0]}"
    assert noted(bad.schema_name).attempts == 1
    assert versions.behind() == [bad.schema_name]
    assert running.upgrade().stragglers == report.stragglers
    assert noted(bad.schema_name).attempts == 2
    with schemas.in_schema(bad):
        Role.objects.filter(id="stumble").update(name="mended")
    assert running.upgrade().migrated == 1
    assert (noted(bad.schema_name).attempts, noted(bad.schema_name).error) == (0, "")
    assert first.schema_name != last.schema_name


def test_a_migration_that_works_nowhere_touches_nobody(
    own_db: str, next_release: NextRelease
) -> None:
    name = make_organisation().schema_name
    there, before = schemas_of_ours(), recorded(name)
    next_release.use(release.ADD_COLUMN, release.BROKEN)
    with pytest.raises(BrokenMigration, match=r"rbac\.0004_next: UndefinedTable: .*rbac_nothing"):
        running.upgrade()
    assert recorded(name) == before
    assert "colour" not in columns(name)
    assert schemas_of_ours() == there


def test_one_that_goes_away_meanwhile_is_no_failure(
    own_db: str, next_release: NextRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = make_organisation(), make_organisation()
    next_release.use(release.ADD_COLUMN)
    planned = running.plan

    def plan_and_drop(names: list[str]) -> object:
        found = planned(names)
        with connection.cursor() as cursor:
            cursor.execute(f'DROP SCHEMA "{goes.schema_name}" CASCADE')
        return found

    monkeypatch.setattr(running, "plan", plan_and_drop)
    report = running.upgrade()
    assert (report.migrated, report.gone, report.stragglers) == (1, 1, [])
    assert "colour" in columns(stays.schema_name)


def test_a_half_made_schema_is_finished(own_db: str, next_release: NextRelease) -> None:
    """An empty one, and one without its newest table: both get all that is lacking."""
    half, empty = make_organisation().schema_name, make_organisation().schema_name
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "{half}".rbac_groupmapping')
        cursor.execute(f"DELETE FROM \"{half}\".django_migrations WHERE name LIKE '0002%'")
        cursor.execute(f'DROP SCHEMA "{empty}" CASCADE')
        cursor.execute(f'CREATE SCHEMA "{empty}"')
    next_release.use(release.ADD_COLUMN)
    report = running.upgrade(look=True)
    assert (report.migrated, report.stragglers) == (2, [])
    for name in (half, empty):
        assert "colour" in columns(name)
        assert columns(name, "rbac_groupmapping")
        assert len(recorded(name)) == 3
