"""Who has which roles, over HTTP (hosted-contract sections 10.5 and 10.6)."""

from __future__ import annotations

from uuid import uuid4

import pytest

from audit.models import Event
from rbac import tokens
from rbac.authorizer import Grant
from tenants.models import Membership, Organisation, SsoIdentity, SsoProvider, User
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, make_user
from tests.rbac.people import Caller, held, make_role, member_with

pytestmark = pytest.mark.django_db
USERS = "/api/admin/users"


@pytest.fixture
def owner() -> Caller:
    return Caller(make_organisation())


def events(organisation: Organisation, user: User) -> list[tuple[str, bool]]:
    found = Event.objects.filter(
        organisation=organisation.pk, subject=f"user {user.pk}", action__startswith="user_"
    )
    return list(found.order_by("pk").values_list("action", "success"))


def test_lists_everybody_with_their_roles(owner: Caller) -> None:
    organisation = owner.organisation
    user = add_member(organisation, "editor", make_user(name="Ann"))
    first, second = owner.gets(USERS)
    assert (first["username"], first["roleIds"]) == (str(owner.user.pk), ["admin"])
    assert (second["username"], second["roleIds"]) == (str(user.pk), ["operator"])
    assert (second["displayName"], second["email"]) == ("Ann", user.email)
    assert "providerType" not in second
    assert owner.gets(f"{USERS}/{user.pk}") == second
    assert owner.gets(f"{USERS}?email={user.email}") == [second]


def test_lists_who_came_by_single_sign_on_by_their_claims(owner: Caller) -> None:
    user = User.objects.create_user(None)
    add_member(owner.organisation, "viewer", user)
    provider = SsoProvider.objects.create(
        organisation=owner.organisation,
        slug="company",
        name="Company",
        issuer="https://idp.test",
        client_id="x",
    )
    SsoIdentity.objects.create(
        organisation=owner.organisation,
        provider=provider,
        issuer=provider.issuer,
        subject="1",
        user=user,
        email="bo@idp.test",
        name="Bo",
    )
    shown = owner.gets(f"{USERS}/{user.pk}")
    assert (shown["displayName"], shown["email"]) == ("Bo", "bo@idp.test")
    assert (shown["providerType"], shown["providerId"]) == ("oidc", "company")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_replaces_the_whole_set_at_once(owner: Caller, method: str) -> None:
    organisation = owner.organisation
    make_role(organisation, "night-shift", Grant("write", "nodes"))
    user = add_member(organisation, "viewer")
    caller = Caller(organisation, user)
    assert caller.gets("/api/admin/roles")
    path = f"{USERS}/{user.pk}/roles"
    answer = owner.ask(method, path, {"roleIds": ["night-shift", "auditor", "auditor"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert held(organisation, user.pk) == {"night-shift", "auditor"}
    caller.refused(403, "forbidden", "GET", "/api/admin/roles")
    assert owner.ask(method, path, {"roleIds": []}).status_code == 204
    assert held(organisation, user.pk) == set()
    assert events(organisation, user) == [("user_roles_updated", True)] * 2
    log = owner.gets(f"/api/admin/rbac/changelog?entityId={user.pk}")
    assert [each["newValue"] for each in log] == [
        '{"roleIds":[]}',
        '{"roleIds":["auditor","night-shift"]}',
    ]
    assert {each["user"] for each in log} == {f"person:{owner.user.pk}"}


def test_permissions_and_what_is_inherited(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "base", Grant("read", "users", "deny", {"site": "north"}))
    make_role(organisation, "night-shift", Grant("write", "nodes"), parent="base")
    user = member_with(organisation, "night-shift")
    own = {"action": "write", "resource": "nodes", "effect": "allow"}
    assert owner.gets(f"{USERS}/{user.pk}/permissions") == [own]
    assert owner.gets(f"{USERS}/{user.pk}/effective") == [
        {
            "action": "read",
            "resource": "users",
            "effect": "deny",
            "conditions": {"site": "north"},
            "roleId": "base",
            "inherited": True,
        },
        {**own, "roleId": "night-shift", "inherited": False},
    ]


def test_refuses_what_is_nobody_or_no_role(owner: Caller) -> None:
    outsider = make_user()
    for name in (outsider.pk, uuid4(), "ann@example.test", "x" * 256):
        for tail in ("", "/permissions", "/effective"):
            owner.refused(404, "not_found", "GET", f"{USERS}/{name}{tail}")
        owner.refused(404, "not_found", "PUT", f"{USERS}/{name}/roles", {"roleIds": []})
        owner.refused(404, "not_found", "DELETE", f"{USERS}/{name}")
    for name in ("a%20b", "x" * 257, "%C3%A4"):
        owner.refused(400, "invalid_username", "GET", f"{USERS}/{name}")
        owner.refused(400, "invalid_username", "DELETE", f"{USERS}/{name}")
    path = f"{USERS}/{add_member(owner.organisation).pk}/roles"
    owner.refused(400, "invalid_json", "PUT", path, "[")
    for body in ({}, {"roleIds": "viewer"}, {"roleIds": ["a b"]}, {"roleIds": [None]}):
        owner.refused(400, "invalid_role_id", "PUT", path, body)
    owner.refused(400, "invalid_request", "PUT", path, {"roleIds": [], "more": 1})
    owner.refused(400, "unknown_role", "PUT", path, {"roleIds": ["viewer", "pilot"]})


def test_nobody_changes_their_own_roles(owner: Caller) -> None:
    organisation = owner.organisation
    admin = Caller(organisation, add_member(organisation, "admin"))
    for spelled in (str(admin.user.pk), str(admin.user.pk).upper()):
        path = f"{USERS}/{spelled}/roles"
        admin.refused(403, "self_modification_denied", "PUT", path, {"roleIds": ["viewer"]})
    admin.refused(403, "self_deprovision_denied", "DELETE", f"{USERS}/{admin.user.pk}")
    assert held(organisation, admin.user.pk) == {"admin"}
    assert Membership.objects.filter(organisation=organisation, user=admin.user).exists()
    assert events(organisation, admin.user) == [
        ("user_roles_self_modify_denied", False),
        ("user_roles_self_modify_denied", False),
        ("user_deprovision_self_denied", False),
    ]


def test_the_owner_stays_a_full_administrator(owner: Caller) -> None:
    organisation = owner.organisation
    admin = Caller(organisation, add_member(organisation, "admin"))
    make_role(organisation, "muted", Grant("admin", "*", "deny"))
    make_role(organisation, "base")
    make_role(organisation, "helper", Grant("read", "nodes"), parent="base")
    path = f"{USERS}/{owner.user.pk}/roles"
    for wanted in ([], ["viewer"], ["admin", "muted"]):
        admin.refused(400, "owner_role_immutable", "PUT", path, {"roleIds": wanted})
    assert admin.ask("PUT", path, {"roleIds": ["admin", "helper"]}).status_code == 204
    # Nor through a role that the owner has, or one above it.
    body = {"name": "x", "permissions": [{"action": "read", "resource": "*", "effect": "deny"}]}
    for role in ("helper", "base"):
        admin.refused(400, "owner_role_immutable", "PUT", f"/api/admin/roles/{role}", body)
    body = {"name": "x", "permissions": [], "parentId": "muted"}
    admin.refused(400, "owner_role_immutable", "PUT", "/api/admin/roles/helper", body)
    admin.refused(400, "owner_role_immutable", "DELETE", f"{USERS}/{owner.user.pk}")
    assert held(organisation, owner.user.pk) == {"admin", "helper"}


def test_deprovisioning_takes_everything(owner: Caller) -> None:
    organisation = owner.organisation
    user = add_member(organisation, "editor")
    secret = make_token(organisation, user=user)
    caller = Caller(organisation, user)
    assert caller.ask("GET", "/api/organisation").status_code == 200
    assert owner.ask("DELETE", f"{USERS}/{user.pk}").status_code == 204
    assert not Membership.objects.filter(organisation=organisation, user=user).exists()
    assert held(organisation, user.pk) == set()
    with in_schema(organisation):
        assert tokens.peek(secret) is None
    assert caller.ask("GET", "/api/organisation").status_code == 401
    owner.refused(404, "not_found", "DELETE", f"{USERS}/{user.pk}")
    assert events(organisation, user) == [
        ("user_deprovisioned", True),
        ("user_deprovision_failed", False),
    ]


def test_nobody_overwrites_a_set_they_have_not_seen(owner: Caller) -> None:
    user = add_member(owner.organisation, "viewer")
    path = f"{USERS}/{user.pk}"
    tag = owner.ask("GET", path)["ETag"]
    wanted = {"roleIds": ["auditor"]}
    assert owner.ask("PUT", f"{path}/roles", wanted, HTTP_IF_MATCH=tag).status_code == 204
    answer = owner.ask("PUT", f"{path}/roles", {"roleIds": []}, HTTP_IF_MATCH=tag)
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert held(owner.organisation, user.pk) == {"auditor"}


def test_needs_the_permission_and_a_person(owner: Caller) -> None:
    organisation = owner.organisation
    user = add_member(organisation, "viewer")
    viewer = Caller(organisation, add_member(organisation, "viewer"))
    body = {"roleIds": ["admin"]}
    viewer.refused(403, "forbidden", "PUT", f"{USERS}/{user.pk}/roles", body)
    viewer.refused(403, "forbidden", "DELETE", f"{USERS}/{user.pk}")
    secret = make_token(organisation)
    for method, path in (("PUT", f"{USERS}/{user.pk}/roles"), ("DELETE", f"{USERS}/{user.pk}")):
        answer = owner.ask(method, path, body, HTTP_X_API_TOKEN=secret)
        assert (answer.status_code, answer.json()["error"]) == (403, "session_required")
    assert held(organisation, user.pk) == {"viewer"}


def test_the_number_of_queries_does_not_grow_with_people(owner: Caller) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def counted() -> int:
        with CaptureQueriesContext(connection) as captured:
            owner.gets(USERS)
            owner.gets("/api/admin/roles")
        return len(captured)

    counted()
    add_member(owner.organisation)
    make_role(owner.organisation, "one", Grant("read", "nodes"))
    counted()
    before = counted()
    for number in range(5):
        add_member(owner.organisation)
        make_role(owner.organisation, f"more-{number}", Grant("read", "nodes"))
    counted()
    assert counted() == before
