"""The tenant API of organisations, members and invitations: bodies and codes of contract 9.2."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from rbac.models import Assignment, Permission, Role
from tenants.models import MemberInvitation, Organisation, User
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of, unique
from tests.members.people import Caller, invite, role_of, told

pytestmark = pytest.mark.django_db


def base(organisation: Organisation) -> str:
    return f"/api/orgs/{organisation.pk}"


def as_owner(organisation: Organisation) -> Caller:
    return Caller(owner_of(organisation), organisation)


def custom(organisation: Organisation, user: User, *permissions: tuple[str, str, str]) -> None:
    """Gives a member one role with just these (action, resource, effect) beside what they have."""
    with in_schema(organisation):
        role = Role.objects.create(id=unique("role")[:60], name="Custom")
        for action, resource, effect in permissions:
            Permission.objects.create(role=role, action=action, resource=resource, effect=effect)
        Assignment.objects.create(user=user.pk, role_id=role.pk)


def test_the_organisation_with_its_people() -> None:
    organisation = make_organisation(display_name="Acme")
    viewer = add_member(organisation)
    invitation, _ = invite(organisation)
    call = Caller(viewer, organisation)
    body = call("GET", base(organisation)).json()
    owner = owner_of(organisation)
    assert body["displayName"] == "Acme" and body["status"] == "active"
    assert (body["ownerUserId"], body["ownerEmail"]) == (str(owner.pk), owner.email)
    assert [(m["userId"], m["role"]) for m in body["members"]] == [
        (str(owner.pk), "owner"),
        (str(viewer.pk), "viewer"),
    ]
    assert [i["id"] for i in body["pendingInvitations"]] == [str(invitation.pk)]
    assert body["pendingInvitations"][0]["invitedBy"] == str(owner.pk)
    assert call("GET", "/api/orgs").json() == [body]
    assert "token" not in str(body)


def test_addresses_are_for_those_who_may_read_users() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    custom(organisation, user, ("read", "users", "deny"))
    call = Caller(user, organisation)
    text = call("GET", base(organisation)).content.decode()
    assert "@" not in text and "members" not in text
    for path in ("members", "invitations"):
        assert call("GET", f"{base(organisation)}/{path}").status_code == 403


def test_another_organisations_id_is_404_whether_or_not_it_exists() -> None:
    mine, other = make_organisation(), make_organisation()
    call = as_owner(mine)
    for wrong in (other.pk, uuid.uuid4(), "default", mine.label):
        for method, rest in (
            ("GET", ""), ("PUT", ""), ("GET", "/members"), ("POST", "/members"),
            ("DELETE", f"/members/{owner_of(other).pk}"), ("GET", "/invitations"),
            ("DELETE", f"/invitations/{uuid.uuid4()}"), ("POST", "/leave"),
        ):  # fmt: skip
            assert told(call(method, f"/api/orgs/{wrong}{rest}")) == (404, "not_found")


def test_renaming_and_its_entity_tag() -> None:
    organisation = make_organisation(display_name="Acme")
    call, path = as_owner(organisation), base(organisation)
    tag = call("GET", path)["ETag"]
    renamed = call("PUT", path, {"displayName": "Acme Networks"}, HTTP_IF_MATCH=tag)
    assert renamed.status_code == 200 and renamed.json()["displayName"] == "Acme Networks"
    assert renamed["ETag"] == call("GET", path)["ETag"] != tag
    late = call("PUT", path, {"displayName": "Too late"}, HTTP_IF_MATCH=tag)
    assert told(late) == (412, "precondition_failed")
    for wrong in ("a", "x" * 65, "a/b/c", None, 7, "two\nlines"):
        answer = call("PUT", path, {"displayName": wrong})
        assert told(answer) == (400, "invalid_display_name")
    for role in ("editor", "viewer"):
        answer = Caller(add_member(organisation, role), organisation)(
            "PUT", path, {"displayName": "Mine"}
        )
        assert told(answer) == (403, "forbidden")
    assert Event.objects.filter(organisation=organisation.pk, action="org_renamed").count() == 1


def test_the_list_of_members_pages_filters_and_orders() -> None:
    organisation = make_organisation()
    for role in ("viewer", "viewer", "admin"):
        add_member(organisation, role)
    call, path = as_owner(organisation), f"{base(organisation)}/members"
    everybody = call("GET", path)
    assert everybody["X-Total-Count"] == "4" and everybody.json()[0]["role"] == "owner"
    assert {m["role"] for m in call("GET", f"{path}?role=viewer").json()} == {"viewer"}
    emails = [m["email"] for m in call("GET", f"{path}?ordering=-email").json()]
    assert emails == sorted(emails, reverse=True)
    page = call("GET", f"{path}?limit=2")
    assert len(page.json()) == 2 and 'rel="next"' in page["Link"]
    assert told(call("GET", f"{path}?ordering=password")) == (400, "invalid_ordering")
    assert told(call("GET", f"{path}?limit=0")) == (400, "invalid_limit")


def test_reading_costs_the_same_number_of_queries_for_any_number_of_people() -> None:
    organisation = make_organisation()
    call = as_owner(organisation)

    def queries(path: str) -> int:
        call("GET", path)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert call("GET", path).status_code == 200
        return len(seen)

    paths = [
        base(organisation),
        f"{base(organisation)}/members",
        f"{base(organisation)}/invitations",
    ]
    before = [queries(path) for path in paths]
    for _ in range(3):
        add_member(organisation)
        invite(organisation)
    assert [queries(path) for path in paths] == before


def test_a_role_change_bites_at_once() -> None:
    organisation = make_organisation()
    user = add_member(organisation, "viewer")
    theirs, path = Caller(user, organisation), base(organisation)
    owner = as_owner(organisation)
    assert theirs("PUT", path, {"displayName": "Mine"}).status_code == 403
    answer = owner("POST", f"{path}/members", {"userId": str(user.pk), "role": "admin"})
    assert answer.status_code == 200 and answer.json()["kind"] == "member"
    assert answer.json()["member"]["role"] == "admin"
    assert theirs("PUT", path, {"displayName": "Mine"}).status_code == 200
    by_address = owner("POST", f"{path}/members", {"email": (user.email or "").upper()})
    assert by_address.status_code == 200 and by_address.json()["member"]["role"] == "viewer"
    assert theirs("PUT", path, {"displayName": "Mine"}).status_code == 403


def test_an_invitation_is_answered_the_same_with_and_without_an_account() -> None:
    organisation = make_organisation()
    call, path = as_owner(organisation), f"{base(organisation)}/members"
    known, stranger = make_user().email, f"{unique('stranger')}@example.test"
    bodies = []
    for body in ({"userId": known, "role": "editor"}, {"email": stranger, "role": "editor"}):
        answer = call("POST", path, body)
        assert answer.status_code == 202 and answer.json()["kind"] == "invitation"
        invitation = answer.json()["invitation"]
        assert invitation["role"] == "editor"
        bodies.append(invitation.keys())
    assert bodies[0] == bodies[1]
    assert role_of(organisation, User.objects.get(email=known)) is None
    default = call("POST", path, {"email": f"{unique('x')}@example.test"}).json()
    assert default["invitation"]["role"] == "viewer"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_user"),
        ({"userId": 7}, "invalid_user"),
        ({"userId": "nobody"}, "invalid_user"),
        ({"userId": "00000000-0000-4000-8000-000000000000"}, "invalid_user"),
        ({"email": "a@b"}, "invalid_user"),
        ({"email": "ann@example.test", "role": "member"}, "invalid_role"),
        ({"email": "ann@example.test", "role": "root"}, "invalid_role"),
        ({"email": "ann@example.test", "role": ["admin"]}, "invalid_role"),
        ({"email": "ann@example.test", "role": False}, "invalid_role"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_what_cannot_be_meant(body: dict[str, Any], code: str) -> None:
    organisation = make_organisation()
    answer = as_owner(organisation)("POST", f"{base(organisation)}/members", body)
    assert told(answer) == (400, code)
    assert not MemberInvitation.objects.filter(organisation=organisation).exists()


def test_the_owner_and_oneself_are_not_to_be_changed() -> None:
    organisation = make_organisation()
    owner, admin = owner_of(organisation), add_member(organisation, "admin")
    call, path = Caller(admin, organisation), f"{base(organisation)}/members"
    demote = call("POST", path, {"userId": str(owner.pk), "role": "viewer"})
    assert told(demote) == (400, "owner_role_immutable")
    assert told(call("DELETE", f"{path}/{owner.pk}")) == (400, "owner_role_immutable")
    promote = call("POST", path, {"userId": str(admin.pk), "role": "viewer"})
    assert told(promote) == (403, "self_modification_denied")
    assert told(call("DELETE", f"{path}/{admin.pk}")) == (403, "self_modification_denied")
    assert told(as_owner(organisation)("POST", path, {"email": owner.email})) == (
        400,
        "owner_role_immutable",
    )


def test_nobody_gives_more_than_they_have() -> None:
    organisation = make_organisation()
    keeper, other = add_member(organisation, "viewer"), add_member(organisation, "viewer")
    custom(organisation, keeper, ("admin", "users", "allow"))
    call, path = Caller(keeper, organisation), f"{base(organisation)}/members"
    for role in ("admin", "editor"):
        for whom in ({"userId": str(other.pk)}, {"email": f"{unique('pal')}@example.test"}):
            answer = call("POST", path, {**whom, "role": role})
            assert told(answer) == (403, "escalation_denied")
    refusals = Event.objects.filter(organisation=organisation.pk, success=False)
    assert refusals.filter(actor_id=str(keeper.pk)).count() == 4
    assert call("POST", path, {"email": f"{unique('pal')}@example.test"}).status_code == 202
    invitation, _ = invite(organisation, role="admin")
    again = call("POST", f"{base(organisation)}/invitations/{invitation.pk}/resend")
    assert told(again) == (403, "escalation_denied")


def test_a_denied_corner_cannot_be_given_by_making_an_admin() -> None:
    organisation = make_organisation()
    admin, other = add_member(organisation, "admin"), add_member(organisation, "viewer")
    custom(organisation, admin, ("read", "audit_logs", "deny"))
    call = Caller(admin, organisation)
    answer = call(
        "POST", f"{base(organisation)}/members", {"userId": str(other.pk), "role": "admin"}
    )
    assert told(answer) == (403, "escalation_denied")


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_people_are_the_admins_business(role: str) -> None:
    organisation = make_organisation()
    other = add_member(organisation)
    invitation, _ = invite(organisation)
    call, path = Caller(add_member(organisation, role), organisation), base(organisation)
    for method, rest in (
        ("POST", "/members"), ("DELETE", f"/members/{other.pk}"),
        ("DELETE", f"/invitations/{invitation.pk}"), ("POST", f"/invitations/{invitation.pk}/resend"),
    ):  # fmt: skip
        assert told(call(method, path + rest)) == (403, "forbidden")
    assert call("GET", f"{path}/members").status_code == 200
    assert call("GET", f"{path}/invitations").status_code == 200


def test_an_api_token_reads_and_changes_nothing() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    token = make_token(organisation, "*")

    def call(method: str, rest: str, body: str = "{}") -> Any:
        return Client().generic(
            method,
            base(organisation) + rest,
            body,
            content_type="application/json",
            HTTP_HOST=organisation.instance_host,
            HTTP_X_API_TOKEN=token,
        )

    assert call("GET", "").status_code == call("GET", "/members").status_code == 200
    for method, rest in (
        ("PUT", ""), ("POST", "/members"), ("DELETE", f"/members/{user.pk}"),
        ("DELETE", f"/invitations/{uuid.uuid4()}"), ("POST", "/leave"),
    ):  # fmt: skip
        assert told(call(method, rest)) == (403, "session_required")
    assert role_of(organisation, user) == "viewer"


def test_removing_shuts_out_at_once() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    theirs = Caller(user, organisation)
    token = make_token(organisation, "*", user=user)
    call, path = as_owner(organisation), f"{base(organisation)}/members/{user.pk}"
    assert call("DELETE", path).status_code == 204
    assert theirs("GET", "/api/organisation").status_code == 401  # the session is gone
    by_token = Client().get(
        "/api/organisation", HTTP_HOST=organisation.instance_host, HTTP_X_API_TOKEN=token
    )
    assert by_token.status_code == 401
    assert told(call("DELETE", path)) == (404, "member_not_found")
    assert told(call("DELETE", f"{base(organisation)}/members/nobody")) == (404, "member_not_found")


def test_leaving() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    path = f"{base(organisation)}/leave"
    assert told(as_owner(organisation)("POST", path)) == (409, "owner_cannot_leave")
    theirs = Caller(user, organisation)
    assert theirs("POST", path).status_code == 204
    assert theirs("GET", "/api/organisation").status_code == 401
    assert role_of(organisation, user) is None


def test_a_transfer_is_refused_in_the_contracts_order() -> None:
    organisation = make_organisation()
    owner, admin = owner_of(organisation), add_member(organisation, "admin")
    path = f"{base(organisation)}/members"
    stranger = {"email": "stranger@example.test", "role": "owner"}
    by_admin = Caller(admin, organisation).was(minutes=10)
    assert told(by_admin("POST", path, stranger)) == (403, "owner_required")
    call = as_owner(organisation).was(minutes=10)
    for body in (stranger, {"userId": str(uuid.uuid4()), "role": "owner"}):
        assert told(call("POST", path, body)) == (400, "owner_transfer_requires_member")
    to_admin = {"userId": str(admin.pk), "role": "owner"}
    assert told(call("POST", path, to_admin)) == (401, "fresh_session_required")
    assert role_of(organisation, owner) == "owner"
    done = call.was(minutes=4)("POST", path, to_admin)
    assert done.status_code == 200 and done.json()["member"]["role"] == "owner"
    assert role_of(organisation, owner) == "admin"
    assert told(call("POST", path, to_admin)) == (403, "owner_required")


def test_invitations_are_listed_sent_again_and_revoked() -> None:
    organisation = make_organisation()
    first, _ = invite(organisation)
    second, _ = invite(organisation, role="editor")
    call, path = as_owner(organisation), f"{base(organisation)}/invitations"
    listed = call("GET", path)
    assert [i["id"] for i in listed.json()] == [str(second.pk), str(first.pk)]
    assert listed["X-Total-Count"] == "2"
    assert len(call("GET", f"{path}?role=editor").json()) == 1
    soon = call("POST", f"{path}/{first.pk}/resend")
    assert told(soon) == (429, "sent_recently")
    assert soon["Retry-After"] == "300" and soon.json()["retryAfter"] == 300
    assert call("DELETE", f"{path}/{first.pk}").status_code == 204
    assert told(call("DELETE", f"{path}/{first.pk}")) == (404, "invitation_not_found")
    assert call("DELETE", f"{path}/{second.email}").status_code == 204  # the contract's {userId}
    other, _ = invite(make_organisation())
    assert told(call("DELETE", f"{path}/{other.pk}")) == (404, "invitation_not_found")
    assert call("GET", path).json() == []


@pytest.mark.covers("F76")
def test_hosted_mode_off_leaves_nothing(settings: LazySettings) -> None:
    organisation = make_organisation()
    call = as_owner(organisation)
    settings.HOSTED_MODE = False
    for path in ("/api/orgs", base(organisation), f"{base(organisation)}/members", "/people"):
        answer = call("GET", path)
        assert (answer.status_code, answer.content) == (404, b"Not found\n")
