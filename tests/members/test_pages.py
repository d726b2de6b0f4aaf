"""The page of people on an organisation's host, in the test client."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pulsecloud import redaction
from tenants.models import MemberInvitation, Organisation, User
from tests.accounts.browsing import Visitor, field
from tests.factories import add_member, make_organisation, make_user, owner_of, unique
from tests.members.people import invite, role_of

pytestmark = pytest.mark.django_db


def at(organisation: Organisation, user: User) -> tuple[Visitor, str]:
    host = organisation.instance_host
    return Visitor().sign_in(user, host), host


def text(page: Any) -> str:
    assert page.status_code == 200, page.content.decode()
    return str(page.content.decode())


def test_an_owner_invites_changes_and_removes() -> None:
    organisation = make_organisation()
    user = add_member(organisation, "viewer")
    visitor, host = at(organisation, owner_of(organisation))
    page = text(visitor.get("/people", host))
    assert "2 members" in page and str(user) in page and "Nobody is invited" in page
    guest = f"{unique('guest')}@example.test"
    sent = visitor.post("/people/invite", {"email": guest, "role": "editor"}, host)
    assert sent.status_code == 303
    page = text(visitor.get("/people", host))
    assert f"{guest} is invited as editor." in page and "Until" in page
    visitor.post(f"/people/{user.pk}/role", {"role": "admin"}, host)
    assert "is admin now." in text(visitor.get("/people", host))
    assert role_of(organisation, user) == "admin"
    visitor.post(f"/people/{user.pk}/remove", {}, host)
    page = text(visitor.get("/people", host))
    assert "is removed and shut out." in page and "1 member<" in page


def test_open_invitations_are_sent_again_and_revoked() -> None:
    organisation = make_organisation()
    invitation, _ = invite(organisation)
    visitor, host = at(organisation, owner_of(organisation))
    path = f"/people/invitations/{invitation.pk}"
    visitor.post(f"{path}/resend", {}, host)
    assert "less than 5 minutes ago" in text(visitor.get("/people", host))
    MemberInvitation.objects.filter(pk=invitation.pk).update(
        sent_at="2026-01-01T00:00Z", expires_at="2026-01-08T00:00Z"
    )
    assert "Expired" in text(visitor.get("/people", host))
    visitor.post(f"{path}/resend", {}, host)
    page = text(visitor.get("/people", host))
    assert "A new link was sent to" in page and "(2 times)" in page and "Expired" not in page
    visitor.post(f"{path}/revoke", {}, host)
    assert "is revoked" in text(visitor.get("/people", host))
    visitor.post(f"{path}/revoke", {}, host)
    assert "There is no such invitation" in text(visitor.get("/people", host))


def test_what_was_wrong_is_said_in_the_form() -> None:
    organisation = make_organisation()
    member = add_member(organisation)
    visitor, host = at(organisation, owner_of(organisation))
    typed = {"email": "nobody at all", "role": "editor"}
    page = visitor.post("/people/invite", typed, host)
    body = page.content.decode()
    assert page.status_code == 400 and "Give a whole email address" in body
    assert 'value="nobody at all"' in body and 'value="editor" selected' in body
    again = visitor.post("/people/invite", {"email": member.email, "role": "viewer"}, host)
    assert again.status_code == 409 and "is a member already" in again.content.decode()


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_who_may_not_change_people_sees_them_only(role: str) -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    invitation, _ = invite(organisation)
    visitor, host = at(organisation, add_member(organisation, role))
    page = text(visitor.get("/people", host))
    assert invitation.email in page
    for hidden in ("/people/invite", '/role"', "/remove", "/revoke", "/people/transfer"):
        assert hidden not in page
    for path in (
        "/people/invite", f"/people/{user.pk}/role", f"/people/{user.pk}/remove",
        f"/people/invitations/{invitation.pk}/revoke", "/people/transfer",
    ):  # fmt: skip
        assert (
            visitor.post(path, {"role": "admin", "email": "x@example.test"}, host).status_code
            == 403
        )
    assert role_of(organisation, user) == "viewer"


def test_outsiders_and_the_anonymous_are_kept_out() -> None:
    organisation = make_organisation()
    visitor, host = at(organisation, make_user())
    assert visitor.get("/people", host).status_code == 403
    away = Visitor().get("/people", host)
    assert away.status_code == 302 and away["Location"].endswith(f"/o/{organisation.label}/")


def test_names_of_people_are_text_and_nothing_else() -> None:
    organisation = make_organisation()
    hostile = User.objects.create(email=None, name="<script>alert(1)</script>")
    add_member(organisation, "viewer", hostile)
    visitor, host = at(organisation, owner_of(organisation))
    page = text(visitor.get("/people", host))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "By single sign-on" in page


def test_leaving_ends_the_session_there() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    visitor, host = at(organisation, user)
    assert "Leave the organisation" in text(visitor.get("/people", host))
    left = visitor.post("/people/leave", {}, host)
    assert left.status_code == 303 and left["Location"] == "http://localhost:8000/"
    assert role_of(organisation, user) is None
    assert visitor.get("/people", host).status_code == 302
    owner, host = at(organisation, owner_of(organisation))
    owner.post("/people/leave", {}, host)
    page = text(owner.get("/people", host))
    assert "Transfer ownership to another member first" in page


def test_many_members_stand_on_several_pages() -> None:
    organisation = make_organisation()
    for _ in range(51):
        add_member(organisation)
    visitor, host = at(organisation, owner_of(organisation))
    first = text(visitor.get("/people", host))
    assert "52 members" in first and "Page 1 of 2" in first and "Later members" in first
    assert "Earlier members" in text(visitor.get("/people?page=2", host))
    assert "Page 2 of 2" in text(visitor.get("/people?page=99999", host))


def assert_confirms_and_comes_back(
    owner: User, path: str, organisation: Organisation, user: User
) -> None:
    """Proved anew on the base domain, the hand-off leads back to the page, which is open now."""
    owner.set_password("a good long one")
    owner.save()
    visitor, host = Visitor().sign_in(owner), organisation.instance_host
    session = visitor.at("localhost").session
    session["_signed_in_at"] = 0
    session.save()
    page = visitor.post(path, {"password": "a good long one"})
    assert page.status_code in (302, 303), page.content.decode()
    carried = visitor.post(page["Location"])
    origin = {"HTTP_ORIGIN": "http://localhost:8000"}
    entered = visitor.post("/hand-off", {"token": field(carried, "token")}, host, **origin)
    assert entered["Location"] == "/people/transfer"
    assert str(user) in text(visitor.get("/people/transfer", host))


def test_a_transfer_takes_a_recent_sign_in_and_the_owner() -> None:
    organisation = make_organisation()
    owner, user = owner_of(organisation), add_member(organisation, "editor")
    by_sso = User.objects.create(email=None, name="Sam")
    add_member(organisation, "admin", by_sso)
    visitor, host = at(organisation, owner)
    session = visitor.at(host).session
    session["_signed_in_at"] = 0
    session.save()
    away = visitor.get("/people/transfer", host)
    assert away.status_code == 302
    base, _, path = away["Location"].partition("/accounts/")
    assert base == "http://localhost:8000"
    assert_confirms_and_comes_back(owner, f"/accounts/{path}", organisation, user)
    refused = visitor.post("/people/transfer", {"user": str(user.pk)}, host)
    assert refused.status_code == 302 and role_of(organisation, user) == "editor"

    visitor, host = at(organisation, owner)
    page = text(visitor.get("/people/transfer", host))
    assert str(user) in page and "Sam" not in page
    wrong = visitor.post("/people/transfer", {"user": "nobody"}, host)
    assert wrong.status_code == 400 and "Choose who" in wrong.content.decode()
    sso = visitor.post("/people/transfer", {"user": str(by_sso.pk)}, host)
    assert sso.status_code == 400 and "confirmed email address" in sso.content.decode()
    visitor.post("/people/transfer", {"user": str(user.pk)}, host)
    assert role_of(organisation, user) == "owner" and role_of(organisation, owner) == "admin"
    assert f"{user} owns" in text(visitor.get("/people", host))
    assert visitor.get("/people/transfer", host).status_code == 403


def test_a_longer_list_takes_no_more_queries() -> None:
    organisation = make_organisation()
    visitor, host = at(organisation, owner_of(organisation))

    def queries() -> int:
        visitor.get("/people", host)
        with CaptureQueriesContext(connection) as seen:
            text(visitor.get("/people", host))
        return len(seen)

    add_member(organisation)
    invite(organisation)
    before = queries()
    for _ in range(3):
        add_member(organisation, "admin")
        invite(organisation)
    assert queries() == before


def test_links_of_invitations_stay_out_of_logs() -> None:
    _, token = invite(make_organisation())
    for line in (f"GET /join/{token} 200", f"the token {token}", f"/join/{token}?x=1"):
        assert token not in redaction.text(line) and token[5:20] not in redaction.text(line)
