"""From the mailed link or the list of organisations into an organisation (F70, design section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.models import User
from tests.accounts.browsing import Visitor, field
from tests.factories import add_member, make_organisation, make_user, unique
from tests.members.people import invite, role_of, roles

pytestmark = pytest.mark.django_db


def text(page: Any, status: int = 200) -> str:
    assert page.status_code == status, page.content.decode()
    return str(page.content.decode())


def test_a_newcomer_joins_by_the_mailed_link() -> None:
    organisation = make_organisation(display_name="Basement Lab")
    invitation, token = invite(organisation, f"{unique('New')}@Example.test", "editor")
    visitor = Visitor()
    page = text(visitor.get(f"/join/{token}"))
    assert "Join Basement Lab" in page and invitation.email in page and "editor" in page
    assert not User.objects.filter(email__iexact=invitation.email).exists()  # GET changes nothing
    joined = visitor.post(f"/join/{token}")
    assert joined.status_code == 303 and joined["Location"] == f"/o/{organisation.label}/"
    user = User.objects.get(email__iexact=invitation.email)
    assert user.email_verified_at and role_of(organisation, user) == "editor"
    assert visitor.is_signed_in()
    assert "Basement Lab" in text(visitor.get("/"))


def test_who_has_an_account_and_is_not_signed_in_joins_as_themselves() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    user = make_user(invitation.email, email_verified_at=None)
    visitor = Visitor()
    visitor.post(f"/join/{token}")
    user.refresh_from_db()
    assert user.email_verified_at is not None and role_of(organisation, user) == "viewer"
    assert visitor.is_signed_in()


@pytest.mark.covers("F70")
def test_a_link_works_once() -> None:
    organisation = make_organisation()
    _, token = invite(organisation)
    assert Visitor().post(f"/join/{token}").status_code == 303
    for method in ("get", "post"):
        page = text(getattr(Visitor(), method)(f"/join/{token}"), 404)
        assert "This link no longer works" in page
    before = roles(organisation)
    for wrong in ("join_unknown", "x", "join_" + "a" * 200, token[:-1]):
        assert Visitor().post(f"/join/{wrong}").status_code == 404
    assert roles(organisation) == before


@pytest.mark.covers("F70")
def test_who_is_signed_in_as_somebody_else_is_told_and_does_not_join() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    other = make_user()
    visitor = Visitor().sign_in(other)
    page = text(visitor.get(f"/join/{token}"))
    assert "you are signed in as" in page and str(other) in page and "Sign out" in page
    assert visitor.post(f"/join/{token}").status_code == 403
    assert role_of(organisation, other) is None
    assert not User.objects.filter(email=invitation.email).exists()


def test_staff_join_and_still_need_their_password() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    staff = make_user(invitation.email, is_staff=True)
    visitor = Visitor()
    assert visitor.post(f"/join/{token}").status_code == 303
    assert role_of(organisation, staff) == "viewer" and not visitor.is_signed_in()


def test_a_closed_account_does_not_join() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    user = make_user(invitation.email, is_active=False)
    visitor = Visitor()
    assert visitor.post(f"/join/{token}").status_code == 404
    assert role_of(organisation, user) is None and not visitor.is_signed_in()


def test_declines_by_the_link() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    assert "You have declined" in text(Visitor().post(f"/join/{token}", {"decline": "yes"}))
    assert Visitor().get(f"/join/{token}").status_code == 404
    assert not User.objects.filter(email=invitation.email).exists()


def test_needs_its_csrf_token() -> None:
    organisation = make_organisation()
    _, token = invite(organisation)
    assert Visitor(careful=True).post(f"/join/{token}").status_code == 403
    assert len(roles(organisation)) == 1


def test_joins_or_declines_from_the_list_of_organisations() -> None:
    first, second = make_organisation(display_name="Alpha"), make_organisation(display_name="Beta")
    invitation, _ = invite(first, role="editor")
    user = make_user(invitation.email)
    declined, _ = invite(second, invitation.email)
    visitor = Visitor().sign_in(user)
    page = text(visitor.get("/"))
    assert "You are invited" in page and "Alpha" in page and "Beta" in page
    assert "No organisation yet" not in page
    visitor.post(f"/invitations/{invitation.pk}/accept")
    visitor.post(f"/invitations/{declined.pk}/decline")
    page = text(visitor.get("/"))
    assert "You have joined Alpha." in page and "You have declined to join Beta." in page
    assert "you are its editor" in page and "You are invited" not in page
    other = Visitor().sign_in(make_user())
    third, _ = invite(first)
    other.post(f"/invitations/{third.pk}/accept")
    assert "That invitation is over." in text(other.get("/"))


def test_one_person_in_several_organisations_is_handed_over_to_each() -> None:
    user = make_user()
    one, two = make_organisation(), make_organisation()
    add_member(one, "viewer", user)
    add_member(two, "admin", user)
    visitor = Visitor().sign_in(user)
    for organisation in (one, two):
        page = visitor.post(f"/o/{organisation.label}/")
        token, host = field(page, "token"), organisation.instance_host
        entered = visitor.post(
            "/hand-off", {"token": token}, host, HTTP_ORIGIN="http://localhost:8000"
        )
        assert entered.status_code == 303 and entered["Location"] == "/"
        again = Visitor()
        again.post("/hand-off", {"token": token}, host, HTTP_ORIGIN="http://localhost:8000")
        assert not again.is_signed_in(host)  # single use
    seen = [visitor.get("/api/organisation", each.instance_host).json() for each in (one, two)]
    assert [each["role"] for each in seen] == ["viewer", "admin"]
    crossed = visitor.at(one.instance_host).get("/api/organisation", HTTP_HOST=two.instance_host)
    assert crossed.status_code == 401


def test_leaves_from_the_list_of_organisations() -> None:
    user = make_user()
    organisation, own = make_organisation(), make_organisation(owner=user)
    add_member(organisation, "viewer", user)
    visitor = Visitor().sign_in(user)
    assert f"/o/{organisation.label}/leave" in text(visitor.get("/"))
    assert f"/o/{own.label}/leave" not in text(visitor.get("/"))
    visitor.post(f"/o/{organisation.label}/leave")
    assert "You have left" in text(visitor.get("/"))
    visitor.post(f"/o/{own.label}/leave")
    assert "Transfer ownership to another member first" in text(visitor.get("/"))
    assert visitor.post(f"/o/{organisation.label}/leave").status_code == 404
    assert role_of(organisation, user) is None and role_of(own, user) == "owner"
