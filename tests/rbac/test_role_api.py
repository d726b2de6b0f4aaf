"""Custom roles over HTTP (hosted-contract section 10.5)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from rbac.authorizer import Grant
from rbac.models import Change
from tenants.models import Organisation
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token
from tests.rbac.people import Caller, held, make_role, member_with

pytestmark = pytest.mark.django_db
ROLES = "/api/admin/roles"
NIGHT: dict[str, Any] = {
    "id": "night-shift",
    "name": "Night shift",
    "description": "Watches.",
    "parentId": "viewer",
    "priority": 5,
    "permissions": [
        {"action": "execute", "resource": "actions"},
        {"action": "read", "resource": "audit_logs", "effect": "deny"},
        {"action": "write", "resource": "nodes:*", "conditions": {"owner": "${user}"}},
    ],
}


@pytest.fixture
def owner() -> Caller:
    return Caller(make_organisation())


def test_lists_the_four_builtin_roles(owner: Caller) -> None:
    found = owner.gets(ROLES)
    assert [role["id"] for role in found] == ["admin", "auditor", "operator", "viewer"]
    assert all(role["isBuiltIn"] for role in found)
    assert found[0]["permissions"] == [{"action": "admin", "resource": "*", "effect": "allow"}]
    assert "parentId" not in found[0]


def test_making_changing_and_deleting_works(owner: Caller) -> None:
    made = owner.ask("POST", ROLES, NIGHT)
    assert made.status_code == 200, made.content
    role = made.json()
    assert {**NIGHT, "isBuiltIn": False}.items() >= {
        key: role[key] for key in ("id", "name", "description", "parentId", "priority")
    }.items()
    assert role["permissions"] == [{"effect": "allow", **each} for each in NIGHT["permissions"]]
    assert owner.gets(f"{ROLES}/night-shift") == role
    assert len(owner.gets(ROLES)) == 5

    # What was read can be sent back, edited.
    changed = owner.ask("PUT", f"{ROLES}/night-shift", {**role, "name": "Nights", "parentId": None})
    assert changed.status_code == 200, changed.content
    assert changed.json()["name"] == "Nights"
    assert "parentId" not in changed.json()
    assert owner.ask("DELETE", f"{ROLES}/night-shift").status_code == 204
    owner.refused(404, "not_found", "GET", f"{ROLES}/night-shift")
    owner.refused(404, "not_found", "DELETE", f"{ROLES}/night-shift")
    owner.refused(404, "not_found", "PUT", f"{ROLES}/night-shift", NIGHT)


@pytest.mark.covers("H10")
def test_every_change_is_told_with_who_made_it(owner: Caller) -> None:
    organisation = owner.organisation
    owner.ask("POST", ROLES, NIGHT)
    owner.ask("PUT", f"{ROLES}/night-shift", {**NIGHT, "name": "Nights"})
    owner.ask("DELETE", f"{ROLES}/night-shift")
    log = owner.gets("/api/admin/rbac/changelog?entityType=role")
    assert [each["action"] for each in log] == ["role_deleted", "role_updated", "role_created"]
    assert {each["user"] for each in log} == {f"person:{owner.user.pk}"}
    assert log[2]["oldValue"] == "" and '"name":"Night shift"' in log[2]["newValue"]
    assert '"name":"Night shift"' in log[1]["oldValue"] and '"name":"Nights"' in log[1]["newValue"]
    with in_schema(organisation):
        assert not Change.objects.filter(actor="").exists()
    events = Event.objects.filter(organisation=organisation.pk, subject="role night-shift")
    assert list(events.order_by("pk").values_list("action", "success", "actor_id")) == [
        (action, True, str(owner.user.pk))
        for action in ("role_created", "role_updated", "role_deleted")
    ]


def test_the_change_log_pages_newest_first(owner: Caller) -> None:
    for number in range(3):
        make_role(owner.organisation, f"role-{number}")
    answer = owner.ask("GET", "/api/admin/rbac/changelog?limit=2")
    assert [each["entityId"] for each in answer.json()] == ["role-2", "role-1"]
    assert answer["X-Total-Count"] == "4"  # the owner's first role is the oldest
    assert 'rel="next"' in answer["Link"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": ""}, "invalid_role_id"),
        ({"id": None}, "invalid_role_id"),
        ({"id": "a b"}, "invalid_role_id"),
        ({"id": "x" * 65}, "invalid_role_id"),
        ({"id": 7}, "invalid_role_id"),
        ({"parentId": "no such"}, "invalid_role_id"),
        ({"parentId": "nobody"}, "invalid_parent"),
        ({"parentId": "night-shift"}, "parent_cycle"),
        ({"permissions": "all"}, "invalid_request"),
        ({"permissions": ["read"]}, "invalid_permission"),
        ({"permissions": [{"action": "fly", "resource": "*"}]}, "invalid_permission"),
        ({"permissions": [{"action": "*", "resource": "*"}]}, "invalid_permission"),
        ({"permissions": [{"action": "read", "resource": "a b"}]}, "invalid_permission"),
        ({"permissions": [{"action": "read", "resource": "*:x"}]}, "invalid_permission"),
        ({"permissions": [{"action": "read", "resource": "x" * 121}]}, "invalid_permission"),
        ({"permissions": [{"action": "read", "resource": ["x"]}]}, "invalid_permission"),
        ({"permissions": [{"action": ["read"], "resource": "x"}]}, "invalid_permission"),
        (
            {"permissions": [{"action": "read", "resource": "x", "effect": "maybe"}]},
            "invalid_permission",
        ),
        (
            {"permissions": [{"action": "read", "resource": "x", "mood": "good"}]},
            "invalid_permission",
        ),
        ({"permissions": [{"action": "read", "resource": "x"}] * 2}, "invalid_permission"),
        (
            {"permissions": [{"action": "read", "resource": "x", "conditions": {"a b": "c"}}]},
            "invalid_permission",
        ),
        (
            {"permissions": [{"action": "read", "resource": "x", "conditions": {"a": 1}}]},
            "invalid_permission",
        ),
        (
            {"permissions": [{"action": "read", "resource": f"x{n}"} for n in range(101)]},
            "invalid_permission",
        ),
        ({"priority": True}, "invalid_request"),
        ({"priority": 10**7}, "invalid_request"),
        ({"name": "x" * 121}, "invalid_request"),
        ({"name": 5}, "invalid_request"),
        ({"surprise": 1}, "invalid_request"),
    ],
    ids=range(28),
)
def test_what_does_not_fit_is_refused(owner: Caller, change: dict[str, Any], code: str) -> None:
    owner.refused(400, code, "POST", ROLES, NIGHT | change)
    assert len(owner.gets(ROLES)) == 4


def test_malformed_requests_have_the_contracts_codes(owner: Caller) -> None:
    owner.refused(400, "invalid_json", "POST", ROLES, "{")
    owner.refused(400, "invalid_request", "POST", f"{ROLES}/night-shift", NIGHT)
    owner.refused(400, "invalid_role_id", "GET", f"{ROLES}/a%20b")
    owner.refused(400, "invalid_role_id", "DELETE", f"{ROLES}/a.b")
    make_role(owner.organisation, "night-shift")
    owner.refused(409, "duplicate_id", "POST", ROLES, NIGHT)
    owner.refused(409, "duplicate_id", "POST", ROLES, NIGHT | {"id": "viewer", "parentId": None})
    path = f"{ROLES}/night-shift"
    owner.refused(400, "invalid_request", "PUT", path, NIGHT | {"id": "other"})
    owner.refused(400, "invalid_request", "PUT", path, {"name": "Nights"})
    owner.refused(400, "invalid_request", "PUT", path, {"permissions": []})


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "auditor"])
def test_builtin_roles_stay_as_they_are(owner: Caller, role: str) -> None:
    body = {"name": "Mine", "permissions": []}
    owner.refused(409, "builtin_role_immutable", "PUT", f"{ROLES}/{role}", body)
    owner.refused(409, "builtin_role_immutable", "DELETE", f"{ROLES}/{role}")
    failed = Event.objects.filter(organisation=owner.organisation.pk, success=False)
    assert list(failed.order_by("pk").values_list("action", flat=True)) == [
        "role_update_failed",
        "role_delete_failed",
    ]


def test_parents_make_no_circle_and_no_tower(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "level-0")
    for level in range(1, 11):
        make_role(organisation, f"level-{level}", parent=f"level-{level - 1}")
    body = {"id": "level-11", "parentId": "level-10", "permissions": []}
    owner.refused(400, "parent_too_deep", "POST", ROLES, body)
    # Also from below: what stands on it would be too far up.
    make_role(organisation, "ground")
    body = {"name": "x", "parentId": "ground", "permissions": []}
    owner.refused(400, "parent_too_deep", "PUT", f"{ROLES}/level-0", body)
    for parent in ("level-0", "level-10"):
        body = {"name": "x", "parentId": parent, "permissions": []}
        owner.refused(400, "parent_cycle", "PUT", f"{ROLES}/level-0", body)
    owner.refused(409, "role_has_children", "DELETE", f"{ROLES}/level-3")


def test_nobody_overwrites_what_they_have_not_seen(owner: Caller) -> None:
    owner.ask("POST", ROLES, NIGHT)
    path = f"{ROLES}/night-shift"
    tag = owner.ask("GET", path)["ETag"]
    changed = owner.ask("PUT", path, NIGHT | {"name": "First"}, HTTP_IF_MATCH=tag)
    assert changed.status_code == 200
    for method, body in (("PUT", NIGHT | {"name": "Second"}), ("DELETE", None)):
        answer = owner.ask(method, path, body, HTTP_IF_MATCH=tag)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert owner.gets(path)["name"] == "First"
    assert owner.ask("DELETE", path, HTTP_IF_MATCH=changed["ETag"]).status_code == 204


def test_deleting_a_role_takes_it_from_everybody(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "night-shift", Grant("write", "nodes"))
    user = member_with(organisation, "night-shift", "viewer")
    assert owner.ask("DELETE", f"{ROLES}/night-shift").status_code == 204
    assert held(organisation, user.pk) == {"viewer"}
    log = owner.gets("/api/admin/rbac/changelog?action=user_unassigned")
    assert [each["entityId"] for each in log] == [str(user.pk)]


def test_a_role_that_single_sign_on_gives_is_not_deleted(owner: Caller) -> None:
    from uuid import uuid4

    from rbac.models import GroupMapping

    make_role(owner.organisation, "night-shift")
    with in_schema(owner.organisation):
        GroupMapping.objects.create(provider=uuid4(), group="nights", role_id="night-shift")
    owner.refused(409, "role_is_mapped", "DELETE", f"{ROLES}/night-shift")


def test_needs_the_permission_the_plan_and_a_person(owner: Caller) -> None:
    organisation = owner.organisation
    viewer = Caller(organisation, add_member(organisation, "viewer"))
    assert len(viewer.gets(ROLES)) == 4
    viewer.refused(403, "forbidden", "POST", ROLES, NIGHT)
    secret = make_token(organisation)
    stranger = Caller(organisation, owner.user)
    stranger.client = Client()
    answer = stranger.ask("POST", ROLES, NIGHT, HTTP_X_API_TOKEN=secret)
    assert (answer.status_code, answer.json()["error"]) == (403, "session_required")
    assert stranger.ask("GET", ROLES, HTTP_X_API_TOKEN=secret).status_code == 200
    assert stranger.ask("GET", ROLES).status_code == 401
    _without_rbac(organisation)
    owner.refused(402, "license_required", "POST", ROLES, NIGHT)
    assert len(owner.gets(ROLES)) == 4


def _without_rbac(organisation: Organisation) -> None:
    from billing.models import BillingState

    billing = BillingState.objects.get(organisation=organisation)
    billing.capabilities = [each for each in billing.capabilities if each != "rbac"]
    billing.save()


def test_there_is_an_end_to_how_many(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbac.roles.MOST", 2)
    make_role(owner.organisation, "one")
    make_role(owner.organisation, "two")
    owner.refused(409, "too_many_roles", "POST", ROLES, {"id": "three", "permissions": []})


def test_integrity_says_what_is_there(owner: Caller) -> None:
    path = "/api/admin/rbac/integrity"
    found = owner.gets(path)
    assert found == {
        "org_id": str(owner.organisation.pk),
        "db_accessible": True,
        "tables_present": True,
        "total_roles": 4,
        "built_in_role_count": 4,
        "total_assignments": 1,
        "healthy": True,
    }
    assert owner.gets(f"{path}?org_id={owner.organisation.pk}") == found
    other = make_organisation()
    for org_id in (other.pk, "default", "x" * 500):
        owner.refused(404, "not_found", "GET", f"{path}?org_id={org_id}")
    from rbac.models import Role

    with in_schema(owner.organisation):
        Role.objects.filter(pk="auditor").delete()
    sick = owner.gets(path)
    assert (sick["healthy"], sick["error"]) == (False, "3 of 4 built-in roles are there")
