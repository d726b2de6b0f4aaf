"""Proving again who one is before what matters, on the base domain and on organisations' hosts."""

from __future__ import annotations

from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command

from tenants import door
from tenants.accounts import hand_off, recent
from tenants.models import Organisation, OutboxMail, User
from tests.accounts.browsing import Visitor, field
from tests.accounts.second_factor import turn_on
from tests.factories import make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"
ASK = "/accounts/reauthenticate/"


def signed_in(user: User, *, seconds_ago: float = 0, host: str = "localhost") -> Visitor:
    return age(Visitor().sign_in(user, host), seconds_ago, host)


def age(visitor: Visitor, seconds: float, host: str = "localhost") -> Visitor:
    session = visitor.at(host).session
    session["_signed_in_at"] -= seconds
    session.save()
    return visitor


def at(visitor: Visitor, host: str = "localhost") -> float:
    return float(visitor.at(host).session["_signed_in_at"])


def enter(visitor: Visitor, organisation: Organisation, to: str = "/") -> Any:
    page = visitor.get(f"/o/{organisation.label}/?to={to}")
    handed = visitor.post(f"/o/{organisation.label}/", {"to": field(page, "to")})
    host, origin = organisation.instance_host, "http://localhost:8000"
    return visitor.post("/hand-off", {"token": field(handed, "token")}, host, HTTP_ORIGIN=origin)


def link_mailed_to(user: User) -> str:
    body = OutboxMail.objects.filter(recipient=user.email).latest("pk").body
    return body.split("http://localhost:8000")[1].split()[0]


PAGES = [
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/recovery-codes/generate/",
    "/accounts/password/set/",
]


@pytest.mark.parametrize("page", PAGES)
def test_dangerous_pages_ask_again_after_five_minutes(page: str) -> None:
    user = make_user()
    assert signed_in(user, seconds_ago=290).get(page).status_code == 200
    answer = signed_in(user, seconds_ago=301).get(page)
    asked = urlsplit(answer.headers["Location"])
    assert (asked.path, parse_qs(asked.query)) == (ASK, {"next": [page]})


def test_by_password() -> None:
    user = make_user(password=GOOD)
    visitor = signed_in(user, seconds_ago=3600)
    where = f"{ASK}?next=/accounts/2fa/totp/activate/"
    page = visitor.get(where).content.decode()
    assert "Confirm that it is you" in page
    assert "not correct" in visitor.post(where, {"password": "wrong"}).content.decode().lower() or (
        not recent.is_recent(visitor.get(where).wsgi_request)
    )
    assert visitor.get("/accounts/2fa/totp/activate/").status_code == 302
    answer = visitor.post(where, {"password": GOOD})
    assert answer.headers["Location"] == "/accounts/2fa/totp/activate/"
    assert visitor.get("/accounts/2fa/totp/activate/").status_code == 200


@pytest.mark.parametrize("password", [GOOD, None])
def test_development_names_the_command_that_helps_staff(password: str | None) -> None:
    """The account that `make run` makes for staff has no password that anybody knows."""
    user = make_user(password=password, is_staff=True)
    visitor = signed_in(user, seconds_ago=3600)
    where = f"{ASK}?next=/accounts/2fa/totp/activate/"
    assert f"manage.py sign_in_link {user.email}<" in visitor.get(where).content.decode()
    out = StringIO()
    call_command("sign_in_link", str(user.email), stdout=out)
    visitor.post(urlsplit(out.getvalue().strip()).path)
    assert visitor.get(where).headers["Location"] == "/accounts/2fa/totp/activate/"
    assert visitor.get("/accounts/2fa/totp/activate/").status_code == 200


@pytest.mark.parametrize("password", [GOOD, None])
def test_production_names_no_such_command(settings: Any, password: str | None) -> None:
    user = make_user(password=password, is_staff=True)
    visitor = signed_in(user, seconds_ago=3600)
    settings.PRODUCTION = True
    page = visitor.get(f"{ASK}?next=/accounts/2fa/totp/activate/")
    assert page.status_code == 200
    assert "sign_in_link" not in page.content.decode()


def test_by_code() -> None:
    user = make_user()
    app = turn_on(user)
    visitor = signed_in(user, seconds_ago=3600)
    asked = visitor.get(f"{ASK}?next=/accounts/2fa/recovery-codes/").headers["Location"]
    assert asked.startswith("/accounts/2fa/reauthenticate/?next=")
    assert visitor.get(asked).status_code == 200
    visitor.post(asked, {"code": "000000x"})
    assert visitor.get("/accounts/2fa/recovery-codes/").status_code == 302
    answer = visitor.post(asked, {"code": app.code(ahead=1)})
    assert answer.headers["Location"] == "/accounts/2fa/recovery-codes/"
    assert visitor.get("/accounts/2fa/recovery-codes/").status_code == 200


def test_by_mail_for_who_has_neither() -> None:
    """allauth asks such people for nothing at all."""
    user = make_user()
    visitor = signed_in(user, seconds_ago=3600)
    where = f"{ASK}?next=/accounts/password/set/"
    assert "Mail me the link" in visitor.get(where).content.decode()
    assert "Look in your mailbox" in visitor.post(where).content.decode()
    assert visitor.get("/accounts/password/set/").status_code == 302
    key = visitor.at("localhost").cookies["pulsecloud_session"].value
    answer = visitor.post(link_mailed_to(user))
    assert answer.headers["Location"] == "/accounts/password/set/"
    assert visitor.get("/accounts/password/set/").status_code == 200
    # The session stays the one that it was, so what it handed over still belongs to it.
    assert visitor.at("localhost").cookies["pulsecloud_session"].value == key


def test_the_mailbox_alone_confirms_nothing_for_who_has_two_factors() -> None:
    user = make_user()
    visitor = signed_in(user, seconds_ago=3600)
    visitor.post(f"{ASK}?next=/accounts/password/set/")
    path = link_mailed_to(user)
    turn_on(user)
    visitor.post(path)
    assert visitor.get("/accounts/password/set/").status_code == 302


def test_staff_without_password_get_no_link() -> None:
    staff = make_user(is_staff=True)
    visitor = signed_in(staff, seconds_ago=3600)
    page = visitor.get(f"{ASK}?next=/accounts/password/set/").content.decode()
    assert f"manage.py changepassword {staff.email}" in page  # a mailed link would not help either
    assert "/accounts/password/reset/" not in page
    assert "changepassword" in visitor.post(ASK).content.decode()
    assert not OutboxMail.objects.filter(recipient=staff.email).exists()


def test_the_mails_are_limited_and_the_answer_stays_the_same() -> None:
    user = make_user()
    visitor = signed_in(user, seconds_ago=3600)
    answers = {visitor.post(ASK).content for _ in range(5)}
    assert len({a.split(b"csrf")[0] for a in answers}) == 1
    assert OutboxMail.objects.filter(recipient=user.email).count() == 3


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_leads_nowhere_else(target: str) -> None:
    user = make_user(password=GOOD)
    fresh = signed_in(user).get(f"{ASK}?next={target}")
    assert fresh.headers["Location"] == "/"
    visitor = signed_in(user, seconds_ago=3600)
    answer = visitor.post(f"{ASK}?next={target}", {"password": GOOD})
    assert answer.headers["Location"] == "/"


def test_who_is_not_signed_in_signs_in_first() -> None:
    answer = Visitor().get(f"{ASK}?next=/o/some/")
    assert answer.headers["Location"].startswith("/accounts/login/?next=")


def test_the_hand_off_carries_the_time_and_the_way() -> None:
    organisation = make_organisation()
    host = organisation.instance_host
    visitor = signed_in(owner_of(organisation), seconds_ago=200)
    answer = enter(visitor, organisation, "/people/transfer?x=1")
    assert answer.headers["Location"] == "/people/transfer?x=1"
    assert abs(at(visitor, host) - at(visitor)) < 0.01
    old = signed_in(owner_of(organisation), seconds_ago=4000)
    enter(old, organisation)
    assert not recent.is_recent(old.get("/", host).wsgi_request)


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/" + "x" * 300])
def test_the_hand_off_leads_to_paths_of_that_host_only(to: str) -> None:
    organisation = make_organisation()
    answer = enter(signed_in(owner_of(organisation)), organisation, to)
    assert answer.headers["Location"] == "/"


def test_confirming_makes_the_organisations_session_recent() -> None:
    organisation = make_organisation(owner=make_user(password=GOOD))
    host = organisation.instance_host
    visitor = signed_in(owner_of(organisation), seconds_ago=4000)
    enter(visitor, organisation)
    assert not recent.is_recent(visitor.get("/", host).wsgi_request)
    way = f"/o/{organisation.label}/?to=/people/transfer"
    answer = visitor.post(ASK, {"next": way, "password": GOOD})
    assert answer.headers["Location"] == way
    assert (
        enter(visitor, organisation, "/people/transfer").headers["Location"] == "/people/transfer"
    )
    assert recent.is_recent(visitor.get("/", host).wsgi_request)


def test_a_page_behind_the_door_leads_there_by_itself(rf: Any) -> None:
    organisation = make_organisation()
    request = rf.get("/tokens/new?kind=x", HTTP_HOST=organisation.instance_host)
    request.organisation_label = organisation.label
    stale = door.Refused(401, "fresh_session_required", "Confirm that it is you.")
    asked = urlsplit(door._refused_page(request, stale).headers["Location"])
    (way,) = parse_qs(asked.query)["next"]
    assert (asked.netloc, asked.path) == ("localhost:8000", ASK)
    assert urlsplit(way).path == f"/o/{organisation.label}/"
    assert parse_qs(urlsplit(way).query) == {"to": ["/tokens/new?kind=x"]}


def test_setting_up_two_factors_is_not_done_by_a_stale_session() -> None:
    user = make_user()
    visitor = signed_in(user, seconds_ago=4000)
    visitor.post("/accounts/2fa/totp/activate/", {"code": "123456"})
    assert not Authenticator.objects.filter(user=user).exists()


def test_the_life_of_a_hand_off_is_not_the_life_of_a_proof() -> None:
    assert hand_off.LIFE.total_seconds() < recent.SECONDS == 300


@pytest.mark.parametrize("target", ["/a\x00b", "/" + "x" * 400, "/\r\nSet-Cookie: a=b"])
def test_what_a_link_cannot_carry_leads_to_the_start(target: str) -> None:
    user = make_user()
    visitor = signed_in(user, seconds_ago=3600)
    assert visitor.post(ASK, {"next": target}).status_code == 200
    assert visitor.post(link_mailed_to(user)).headers["Location"] == "/"
