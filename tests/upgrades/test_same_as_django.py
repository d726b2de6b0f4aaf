"""SQL that was rendered once leaves each schema as Django's own executor would."""

from __future__ import annotations

import pytest

from tenants import schemas
from tenants.upgrades import running
from tests.factories import make_organisation
from tests.tenants.catalog import describe
from tests.upgrades import release
from tests.upgrades.looking import columns, noted, schemas_of_ours
from tests.upgrades.release import NextRelease

EVERYTHING = (
    release.ADD_COLUMN,
    release.ADD_TABLE,
    release.PYTHON,
    release.UNIQUE_TOGETHER_GONE,
    release.CONCURRENT_INDEX,
    release.RANDOM_DEFAULT,
)


@pytest.mark.covers("F22")
def test_the_catalogs_are_equal(own_db: str, next_release: NextRelease) -> None:
    rendered, by_django = make_organisation(), make_organisation()
    before = schemas_of_ours()
    next_release.use(*EVERYTHING)
    schemas.migrate_schema(by_django.schema_name)
    report = running.upgrade()
    assert (report.behind, report.migrated, report.stragglers) == (1, 1, [])
    left, right = describe(rendered.schema_name), describe(by_django.schema_name)
    assert set(left) == set(right)
    for subject in left:
        assert left[subject] == right[subject], subject
    assert noted(rendered.schema_name).version == noted(by_django.schema_name).version
    assert schemas_of_ours() == before  # no draft stays


def test_one_sql_for_all_wherever_that_is_right(own_db: str, next_release: NextRelease) -> None:
    make_organisation()
    next_release.use(*EVERYTHING)
    how = {each.key[1][:4]: each.why for each in running.upgrade().migrations}
    assert how == {
        "0003": "",
        "0004": "",
        "0005": "has RunPython",
        "0006": "",
        "0007": "runs outside a transaction",
        "0008": "has a default that is different each time",
    }


def test_sql_by_hand_runs_with_its_comments(own_db: str, next_release: NextRelease) -> None:
    rendered, by_django = make_organisation(), make_organisation()
    next_release.use(release.SQL_WITH_COMMENTS, release.SQL_WITH_OUR_PLACE)
    schemas.migrate_schema(by_django.schema_name)
    report = running.upgrade()
    assert report.stragglers == []
    assert [each.why for each in report.migrations] == ["", "says {schema} itself"]
    assert {"hue", "tone", "shade"} <= columns(rendered.schema_name)
    assert describe(rendered.schema_name) == describe(by_django.schema_name)


def test_a_random_default_is_each_organisations_own(own_db: str, next_release: NextRelease) -> None:
    from tests.upgrades.looking import rows

    one, two = make_organisation(), make_organisation()
    next_release.use(release.RANDOM_DEFAULT)
    running.upgrade()
    seeds = [
        rows(f'SELECT DISTINCT seed FROM "{each.schema_name}".rbac_role') for each in (one, two)
    ]
    assert [len(some) for some in seeds] == [1, 1]
    assert seeds[0] != seeds[1]


def test_python_migrations_see_each_organisations_own_rows(
    own_db: str, next_release: NextRelease
) -> None:
    from rbac.models import Role

    both = [make_organisation(), make_organisation()]
    next_release.use(release.PYTHON)
    running.upgrade()
    for organisation in both:
        with schemas.in_schema(organisation):
            assert set(Role.objects.values_list("description", flat=True)) == {"painted"}
