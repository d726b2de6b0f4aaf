"""Sign-in links: single use, expiring, a button on GET, no way in for closed accounts."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tenants import links
from tenants.accounts import entry
from tenants.accounts.sessions import reference
from tenants.models import Link, LinkPurpose, Session, User
from tests.accounts.browsing import Visitor
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def link_of(user: User, target: str = "/", **life: float) -> str:
    life = life or {"minutes": 15}
    token = links.mint(
        purpose=LinkPurpose.SIGN_IN, user=user, target=target, life=timedelta(**life)
    )
    return f"/sign-in/{token}"


def test_shows_a_button_and_signs_in_on_post_once() -> None:
    user = make_user()
    path, visitor = link_of(user, "/signup/progress"), Visitor()
    page = visitor.get(path)
    assert str(user.email) in page.content.decode()
    assert not visitor.is_signed_in()
    answer = visitor.post(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/progress")
    assert visitor.is_signed_in()
    assert Session.objects.get(user=user.pk).host == "localhost"
    other = Visitor()
    assert other.post(path).status_code == 404
    assert not other.is_signed_in()


def test_refusals_look_alike() -> None:
    used, old = link_of(make_user()), link_of(make_user(), seconds=-1)
    closed = link_of(make_user(is_active=False))
    Visitor().post(used)
    answers = [Visitor().post(path) for path in (used, old, closed, "/sign-in/never-was")]
    answers += [Visitor().get(path) for path in (used, old, "/sign-in/never-was")]
    assert {a.status_code for a in answers} == {404}
    assert len({a.content for a in answers}) == 1


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1", ""]
)
def test_leads_nowhere_else(target: str) -> None:
    answer = Visitor().post(link_of(make_user(), target))
    assert answer.headers["Location"] == "/"


def test_post_needs_the_pages_csrf_token() -> None:
    visitor = Visitor(careful=True)
    path = link_of(make_user())
    assert visitor.post(path).status_code == 403
    assert Link.objects.get().used_at is None


def test_a_session_that_was_there_is_not_taken_over() -> None:
    """Signing in as somebody else starts a new session."""
    visitor = Visitor().sign_in(make_user())
    before = visitor.at("localhost").cookies["pulsecloud_session"].value
    visitor.post(link_of(user := make_user()))
    after = visitor.at("localhost").cookies["pulsecloud_session"].value
    assert before != after
    assert not Session.objects.filter(pk=reference(before)).exists()
    assert Session.objects.get(pk=reference(after)).user == user.pk


def test_old_links_are_forgotten() -> None:
    link_of(make_user(), days=-2)
    fresh = link_of(make_user())
    links.prune()
    assert Link.objects.count() == 1
    assert Visitor().post(fresh).status_code == 303


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sign_in_link", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_a_link_that_works() -> None:
    user = make_user(is_staff=True)
    said = command(str(user.email).upper(), "--to", "/admin/")
    assert said.startswith("http://localhost:8000/sign-in/")
    visitor = Visitor()
    answer = visitor.post(said.removeprefix("http://localhost:8000"))
    assert answer.headers["Location"] == "/admin/"


def test_the_command_is_refused_in_production(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        command(str(make_user().email))
    assert not Link.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [["nobody@example.test"], ["--minutes", "0"], ["--minutes", "61"], ["--to", "//evil.example"]],
)
def test_the_command_refuses_what_cannot_be(arguments: list[str]) -> None:
    if arguments[0].startswith("--"):
        arguments = [str(make_user().email), *arguments]
    with pytest.raises(CommandError):
        command(*arguments)


def test_the_newest_owned_organisation_is_the_one_that_counts() -> None:
    from tests.factories import make_organisation

    owner = make_user()
    make_organisation(owner=owner)
    newest = make_organisation(owner=owner)
    newest.memberships.update(added_at=timezone.now() + timedelta(seconds=1))
    gone = make_organisation("deleted", owner=owner)
    assert entry.owned_by(owner) == newest
    assert gone != newest
