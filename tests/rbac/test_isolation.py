"""What one organisation has of roles is invisible and without effect in another, and goes with it
(hosted-contract sections 10.1 and 27)."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.db import connection

from audit.actors import Actor
from pulsecloud import figures
from rbac import assignments, cache, roles
from rbac.authorizer import Grant, rights_of
from rbac.effects import TokensEffect
from rbac.models import Assignment, Change, GroupMapping, Role
from tenants import purging
from tenants.models import MemberRole, Membership, Organisation, State, User
from tenants.schemas import in_schema, schema_exists
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of
from tests.rbac.people import PLATFORM, Caller, held, make_role

pytestmark = [pytest.mark.django_db, pytest.mark.covers("A3")]
ROLES, USERS, LOG = "/api/admin/roles", "/api/admin/users", "/api/admin/rbac/changelog"
MARK = "marker-role"


@pytest.fixture
def two() -> tuple[Organisation, Organisation, User]:
    """Two organisations and a person who is a viewer of both."""
    one, other = make_organisation(), make_organisation()
    person = add_member(one, "viewer")
    add_member(other, "viewer", person)
    return one, other, person


def everything_read(organisation: Organisation) -> str:
    """All that its owner can read about roles and people."""
    owner = Caller(organisation)
    paths = [ROLES, USERS, LOG, "/api/admin/rbac/integrity"]
    for user in Membership.objects.filter(organisation=organisation).values_list("user", flat=True):
        paths += [f"{USERS}/{user}{tail}" for tail in ("", "/permissions", "/effective")]
    return json.dumps([owner.gets(path) for path in paths])


def test_a_role_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, person = two
    make_role(one, MARK, Grant("admin", "*"))
    assert MARK in everything_read(one)
    assert MARK not in everything_read(other)
    owner = Caller(other)
    owner.refused(404, "not_found", "GET", f"{ROLES}/{MARK}")
    owner.refused(404, "not_found", "DELETE", f"{ROLES}/{MARK}")
    body = {"roleIds": [MARK]}
    owner.refused(400, "unknown_role", "PUT", f"{USERS}/{person.pk}/roles", body)
    child = {"id": "child", "parentId": MARK, "permissions": []}
    owner.refused(400, "invalid_parent", "POST", ROLES, child)
    # The same id is another role there.
    make_role(other, MARK, Grant("read", "nodes"))
    assignments.set_roles(other, person.pk, [MARK], actor=PLATFORM)
    Caller(other, person).refused(403, "forbidden", "GET", USERS)
    roles.delete(other, MARK, actor=PLATFORM)
    assert Caller(one).gets(f"{ROLES}/{MARK}")["permissions"][0]["action"] == "admin"


def test_an_assignment_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, person = two
    assignments.set_roles(one, person.pk, ["admin"], actor=PLATFORM)
    assert held(other, person.pk) == {"viewer"}
    body = {"id": "x", "permissions": []}
    assert Caller(one, person).ask("POST", ROLES, body).status_code == 200
    Caller(other, person).refused(403, "forbidden", "POST", ROLES, body)
    assignments.set_roles(other, person.pk, [], actor=PLATFORM)
    assert held(one, person.pk) == {"admin"}
    # An administrator of one reaches nobody through the other's host or ids.
    stranger = add_member(other, "viewer")
    Caller(one, person).refused(
        404, "not_found", "PUT", f"{USERS}/{stranger.pk}/roles", {"roleIds": []}
    )


def test_a_token_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, person = two
    secret = make_token(one, user=person)
    anonymous = Caller(other, person)
    anonymous.client.cookies.clear()
    answer = anonymous.ask("GET", ROLES, HTTP_X_API_TOKEN=secret)
    assert (answer.status_code, answer.json()["error"]) == (401, "authentication_required")
    at_home = Caller(one, person)
    at_home.client.cookies.clear()
    assert at_home.ask("GET", ROLES, HTTP_X_API_TOKEN=secret).status_code == 200


def test_a_group_mapping_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, _ = two
    with in_schema(one):
        GroupMapping.objects.create(provider=uuid4(), group=MARK, role_id="admin")
    with in_schema(other):
        assert not GroupMapping.objects.exists()
    # It holds no role of the other organisation fast.
    make_role(other, "free")
    with in_schema(one):
        Role.objects.create(id="free", name="Free")
        GroupMapping.objects.create(provider=uuid4(), group="g", role_id="free")
    assert Caller(other).ask("DELETE", f"{ROLES}/free").status_code == 204
    Caller(one).refused(409, "role_is_mapped", "DELETE", f"{ROLES}/free")


def test_the_change_log_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, person = two
    before = Caller(other).gets(LOG)
    make_role(one, MARK)
    assignments.set_roles(one, person.pk, [MARK], actor=PLATFORM)
    assert sum(MARK in json.dumps(each) for each in Caller(one).gets(LOG)) == 2
    assert Caller(other).gets(LOG) == before


@pytest.mark.covers("F75")
def test_the_permission_cache_stays_in_its_organisation(
    two: tuple[Organisation, Organisation, User],
) -> None:
    one, other, person = two
    assignments.set_roles(one, person.pk, ["admin"], actor=PLATFORM)
    at_one, at_other = Caller(one, person), Caller(other, person)
    for _ in range(2):  # the second time both are in the cache
        assert at_one.ask("POST", f"{ROLES}/x").status_code == 400  # through the door
        at_other.refused(403, "forbidden", "POST", f"{ROLES}/x")
    for each in two[:2]:
        each.refresh_from_db()
        assert cache.get(each.schema_name, person.pk, each.rbac_version) is not None
    # A change in one moves nothing in the other.
    version = other.rbac_version
    assignments.set_roles(one, person.pk, ["viewer"], actor=PLATFORM)
    other.refresh_from_db()
    assert other.rbac_version == version
    at_one.refused(403, "forbidden", "POST", f"{ROLES}/x")
    assert cache.get(other.schema_name, person.pk, version) is not None


# --- life-cycle drills: a purge is the deletion there is ----------------------------------------


def stores() -> int:
    return figures.read().role_stores


def purge(organisation: Organisation) -> None:
    purging.purge(organisation=organisation, actor=Actor.system("test"))


@pytest.mark.covers("F75")
def test_drill_deleting_drops_what_is_cached() -> None:
    organisation, other = make_organisation(canary=True), make_organisation()
    owner, neighbour = owner_of(organisation), owner_of(other)
    rights_of(organisation, owner.pk)
    rights_of(other, neighbour.pk)
    assert cache.count(organisation.schema_name) == 1
    purge(organisation)
    assert cache.count(organisation.schema_name) == 0
    assert cache.count(other.schema_name) == 1


def test_drill_the_verb_removes_the_store() -> None:
    organisation = make_organisation(canary=True)
    secret = make_token(organisation)
    caller = Caller(organisation)
    assert caller.ask("GET", ROLES).status_code == 200
    purge(organisation)
    assert not schema_exists(organisation.schema_name)
    assert caller.ask("GET", ROLES).status_code == 401
    assert caller.ask("GET", ROLES, HTTP_X_API_TOKEN=secret).status_code == 401


def test_drill_who_comes_again_finds_everything_fresh() -> None:
    organisation = make_organisation(canary=True)
    person = owner_of(organisation)
    make_role(organisation, MARK)
    label, schema = organisation.label, organisation.schema_name
    purge(organisation)
    again = make_organisation(canary=True, owner=make_user(), display_name=str(label))
    add_member(again, MemberRole.ADMIN, User.objects.filter(pk=person.pk).first() or make_user())
    assert again.schema_name != schema
    with in_schema(again):
        assert sorted(Role.objects.values_list("pk", flat=True)) == [
            "admin",
            "auditor",
            "operator",
            "viewer",
        ]
        assert Change.objects.filter(entity_type="role").count() == 0
        assert Assignment.objects.count() == 2


def test_drill_removing_what_is_not_there_is_fine() -> None:
    cache.forget(f"org_{uuid4().hex}")
    never_made = make_organisation(State.REQUESTED)
    TokensEffect().purge(never_made)
    organisation = make_organisation(canary=True)
    purge(organisation)
    TokensEffect().purge(organisation)


def test_drill_the_count_follows() -> None:
    before = stores()
    organisation = make_organisation(canary=True)
    make_organisation(State.SUSPENDED)
    make_organisation(State.REQUESTED)
    assert stores() == before + 2
    purge(organisation)
    assert stores() == before + 1
    assert connection.in_atomic_block  # the figures read what this very transaction did
