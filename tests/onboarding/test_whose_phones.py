"""The first page shows the phones that its reader may see, as the page of phones does."""

from __future__ import annotations

from audit.actors import Actor
from rbac import mobile, tokens
from relay import views
from tenants.models import MemberRole, User
from tests.factories import add_member
from tests.onboarding.conftest import Site

SYSTEM = Actor.system("test")


def pair(site: Site, user: User, name: str) -> None:
    tokens.issue(
        site.organisation, user=user, name=name, scopes=[mobile.SCOPE], purpose=mobile.PURPOSE,
        actor=SYSTEM,
    )  # fmt: skip


def test_members_see_their_own(site: Site) -> None:
    viewer = add_member(site.organisation, MemberRole.VIEWER)
    other = add_member(site.organisation, MemberRole.VIEWER)
    pair(site, other, "Phone of somebody else")
    page = site.member(viewer).get("/", site.host).content.decode()
    assert "Phone of somebody else" not in page and "No phone is paired yet" in page
    pair(site, viewer, "Phone of mine")
    for path in ("/", "/devices"):
        page = site.member(viewer).get(path, site.host).content.decode()
        assert "Phone of mine" in page and "Phone of somebody else" not in page


def test_who_administers_people_sees_all(site: Site) -> None:
    other = add_member(site.organisation, MemberRole.VIEWER)
    pair(site, other, "Phone of somebody else")
    for path in ("/", "/devices"):
        assert "Phone of somebody else" in site.visit(path).content.decode()


def test_the_newest_are_shown_and_all_are_counted(site: Site) -> None:
    viewer = add_member(site.organisation, MemberRole.VIEWER)
    for number in range(views.SHOWN_PHONES):
        pair(site, viewer, f"Number {number}.")
    page = site.member(viewer).get("/", site.host).content.decode()
    assert all(f"Number {n}." in page for n in range(5)) and "All 5 phones" not in page
    pair(site, viewer, "Number 5.")
    pair(site, viewer, "Number 6.")
    page = site.member(viewer).get("/", site.host).content.decode()
    shown = [n for n in range(7) if f"Number {n}." in page]
    assert shown == [2, 3, 4, 5, 6] and "All 7 phones" in page
