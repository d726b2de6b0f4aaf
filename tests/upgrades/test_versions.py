"""Who is behind stands in `public`, and is right."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.actors import Actor
from tenants import lifecycle, schemas
from tenants.models import SchemaVersion, State
from tenants.upgrades import running, versions
from tenants.upgrades.versions import Release
from tests.factories import make_organisation
from tests.upgrades import release
from tests.upgrades.looking import columns, noted, recorded, rows
from tests.upgrades.release import NextRelease

A, B, C = ("rbac", "0001_a"), ("rbac", "0002_b"), ("rbac", "0003_c")


@pytest.mark.django_db
def test_a_schema_is_noted_when_it_is_made_and_forgotten_when_it_goes() -> None:
    organisation = make_organisation(canary=True)
    assert noted(organisation.schema_name).version == versions.release().version
    lifecycle.purge(organisation=organisation, actor=Actor.system("test"), reason="test")
    assert not SchemaVersion.objects.filter(schema_name=organisation.schema_name).exists()


@pytest.mark.django_db
def test_the_note_goes_with_a_rolled_back_schema() -> None:
    name = schemas.new_schema_name()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        schemas.create_schema(name)
        raise ZeroDivisionError
    assert not SchemaVersion.objects.filter(schema_name=name).exists()


def test_who_is_behind_takes_one_query(own_db: str, next_release: NextRelease) -> None:
    names = {make_organisation().schema_name for _ in range(3)}
    assert versions.behind() == []
    next_release.use(release.ADD_COLUMN)
    versions.release()
    with CaptureQueriesContext(connection) as asked:
        assert set(versions.behind()) == names
    assert len(asked) == 1
    assert versions.count() == (3, 3)


def test_canaries_come_first(own_db: str, next_release: NextRelease) -> None:
    for _ in range(3):
        make_organisation()
    canary = make_organisation(canary=True)
    next_release.use(release.ADD_COLUMN)
    assert versions.behind()[0] == canary.schema_name


@pytest.mark.covers("F22")
def test_a_wrong_note_is_found_by_looking(own_db: str) -> None:
    organisation = make_organisation()
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM \"{organisation.schema_name}\".django_migrations WHERE name LIKE '0002%'"
        )
    assert versions.behind() == []
    (found,) = versions.survey()
    assert versions.release().lacking(found.applied or ()) == [("rbac", "0002_group_mapping")]
    assert versions.behind() == []  # a survey changes nothing
    assert versions.behind(look=True) == [organisation.schema_name]
    assert noted(organisation.schema_name).version == "rbac.0001_initial"


def test_without_a_note_it_counts_as_behind(own_db: str) -> None:
    organisation = make_organisation()
    SchemaVersion.objects.all().delete()
    assert versions.behind() == [organisation.schema_name]
    assert versions.behind(look=True) == []


def test_organisations_without_a_schema_do_not_count(own_db: str) -> None:
    for state in (State.REQUESTED, State.PROVISIONING, State.FAILED):
        make_organisation(state)
    gone = make_organisation(canary=True)
    lifecycle.purge(organisation=gone, actor=Actor.system("test"), reason="test")
    assert versions.behind(look=True) == []
    assert versions.count() == (0, 0)


def test_a_newer_releases_schema_is_not_behind() -> None:
    now = Release((A, B), frozenset({A, B}))
    assert now.version == "rbac.0002_b"
    assert now.version_of({A, B, C}) == "rbac.0003_c"
    assert not now.is_behind("rbac.0003_c")
    assert now.is_behind("rbac.0001_a")
    assert now.is_behind("")
    assert not now.is_behind("rbac.0002_b")


def test_a_release_that_was_taken_back_hides_nothing() -> None:
    """Its migration is unknown to this release, which has another one in its place."""
    now = Release((A, B, C), frozenset({A, B, C}))
    taken_back = ("rbac", "0003_taken_back")
    assert now.lacking({A, B, taken_back}) == [C]
    assert now.version_of({A, B, taken_back}) == "rbac.0002_b"
    assert now.version_of({A, B, C, taken_back}) == "rbac.0003_taken_back"
    assert now.version_of({A, C}) == "rbac.0001_a"
    assert now.version_of({taken_back}) == ""
    assert now.is_strange("rbac.0003_taken_back")
    assert not now.is_strange("rbac.0003_c") and not now.is_strange("")


def test_a_schema_of_a_release_that_was_taken_back_is_migrated(
    own_db: str, next_release: NextRelease
) -> None:
    """The first few organisations had the release that was then replaced by a mended one."""
    few, other = make_organisation(), make_organisation()
    added = next_release.use(release.ADD_COLUMN)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{few.schema_name}".django_migrations (app, name, applied)'
            " VALUES ('rbac', '0003_taken_back', now())"
        )
    versions.note(few.schema_name, version="rbac.0003_taken_back")
    assert set(versions.behind()) == {few.schema_name, other.schema_name}
    report = running.upgrade()
    assert (report.migrated, report.stragglers) == (2, [])
    assert "colour" in columns(few.schema_name) and added[0] in recorded(few.schema_name)
    assert versions.behind() == versions.behind(look=True) == []


def test_what_a_squashed_migration_replaces_is_known() -> None:
    squashed = ("rbac", "0001_squashed_0002_b")
    now = Release((squashed,), frozenset({squashed, A, B}))
    assert now.is_behind(now.version_of({A, B}))
    assert now.lacking({A, B}) == [squashed]


def test_readiness_warns(own_db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsecloud import health

    organisation = make_organisation()
    assert health.warning_facts() == []
    versions.note(organisation.schema_name, version="rbac.0001_initial")
    monkeypatch.setattr(versions, "WARN_AT", 1)
    said = dict(health.warning_facts())
    assert set(said) == {"schemas_behind", "schemas_many"}
    assert "migrate_orgs" in said["schemas_behind"]
    assert "docs/scaling.md" in said["schemas_many"]


def test_drafts_and_others_schemas_count_for_the_catalog(own_db: str) -> None:
    make_organisation()
    schemas.create_schema(schemas.new_schema_name())
    assert versions.count() == (2, 0)
    assert rows("SELECT count(*) FROM tenants_schemaversion") == [2]


def test_a_schema_that_is_dropped_in_the_middle_of_the_question_is_left_out(
    own_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = make_organisation().schema_name, make_organisation().schema_name
    asked = versions._applied
    dropped: list[str] = []

    def drop_then_ask(names: list[str]) -> object:
        if not dropped:
            dropped.append(goes)
            with connection.cursor() as cursor:
                cursor.execute(f'DROP SCHEMA "{goes}" CASCADE')
            raise ProgrammingError("relation does not exist")
        return asked(names)

    monkeypatch.setattr(versions, "_applied", drop_then_ask)
    assert set(versions.applied([stays, goes])) == {stays}
