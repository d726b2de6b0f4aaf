"""What the base domain tells and lets a person do about their own organisations and invitations."""

from __future__ import annotations

import uuid

import pytest
from django.conf import LazySettings
from django.test import Client

from tenants.models import MemberInvitation, State
from tests.factories import add_member, make_organisation, make_user, owner_of
from tests.members.people import Caller, invite, role_of, told

pytestmark = pytest.mark.django_db


def test_lists_the_callers_organisations_and_nobody_elses_people() -> None:
    user = make_user()
    first = make_organisation(display_name="Alpha")
    second = make_organisation(display_name="Beta", owner=user)
    make_organisation(display_name="Gamma")
    add_member(first, "editor", user)
    answer = Caller(user)("GET", "/api/orgs")
    assert [(o["id"], o["displayName"], o["role"]) for o in answer.json()] == [
        (str(first.pk), "Alpha", "editor"),
        (str(second.pk), "Beta", "owner"),
    ]
    assert str(owner_of(first)) not in answer.content.decode()
    assert answer.json()[0]["host"] == first.instance_host
    assert "no-store" in answer["Cache-Control"]


def test_a_suspended_organisation_is_still_listed() -> None:
    user = make_user()
    add_member(make_organisation(State.SUSPENDED), "viewer", user)
    assert [o["status"] for o in Caller(user)("GET", "/api/orgs").json()] == ["suspended"]


@pytest.mark.covers("F70")
def test_accepts_an_invitation_of_ones_own() -> None:
    organisation = make_organisation(display_name="Acme")
    invitation, _ = invite(organisation, role="editor")
    user, other = make_user(invitation.email), make_user()
    path = f"/api/org-invitations/{organisation.pk}/accept"
    assert Caller(other)("GET", "/api/org-invitations").json() == []
    assert told(Caller(other)("POST", path)) == (404, "invitation_not_found")
    call = Caller(user)
    (mine,) = call("GET", "/api/org-invitations").json()
    assert (mine["orgId"], mine["orgDisplayName"], mine["role"]) == (
        str(organisation.pk),
        "Acme",
        "editor",
    )
    joined = call("POST", path)
    assert joined.status_code == 200 and joined.json()["role"] == "editor"
    assert role_of(organisation, user) == "editor"
    assert told(call("POST", path)) == (404, "invitation_not_found")


def test_declines() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    call = Caller(make_user(invitation.email))
    path = f"/api/org-invitations/{organisation.pk}"
    assert call("DELETE", path).status_code == 204
    assert told(call("DELETE", path)) == (404, "invitation_not_found")
    invitation.refresh_from_db()
    assert invitation.declined_at is not None
    assert Client().get(f"/join/{token}", HTTP_HOST="localhost").status_code == 404


def test_an_unproved_mailbox_accepts_nothing() -> None:
    organisation = make_organisation()
    invitation, _ = invite(organisation)
    call = Caller(make_user(invitation.email, email_verified_at=None))
    assert call("GET", "/api/org-invitations").json() == []
    answer = call("POST", f"/api/org-invitations/{organisation.pk}/accept")
    assert told(answer) == (403, "mailbox_not_proved")


@pytest.mark.covers("F76")
def test_order_of_refusals(settings: LazySettings) -> None:
    organisation = make_organisation()
    invitation, _ = invite(organisation)
    user = make_user(invitation.email)
    path = f"/api/org-invitations/{organisation.pk}/accept"
    assert told(Caller(None)("POST", path)) == (401, "authentication_required")
    assert Caller(None)("GET", path).status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = Caller(user).client.cookies
    answer = careful.post(path, HTTP_HOST="localhost")
    assert told(answer) == (403, "csrf_failed")
    missing = Caller(user)("POST", f"/api/org-invitations/{uuid.uuid4()}/accept")
    assert told(missing) == (404, "invitation_not_found")
    settings.HOSTED_MODE = False
    for call in (Caller(user), Caller(None)):
        for method, each in (("POST", path), ("GET", "/api/orgs"), ("GET", "/api/org-invitations")):
            answer = call(method, each)
            assert (answer.status_code, answer.content) == (404, b"Not found\n")
    assert not MemberInvitation.objects.get(pk=invitation.pk).accepted_at
