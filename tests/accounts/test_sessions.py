"""Where a person is signed in, and how they end it: browsers on the base domain, hosts they opened."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Event
from tenants import tasks
from tenants.accounts import session_views, sessions
from tenants.models import Organisation, Session, User
from tests.accounts.browsing import Visitor, field
from tests.factories import make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
PATH = "/accounts/sessions/"


def browser(user: User, agent: str = FIREFOX, address: str = "192.0.2.1") -> Visitor:
    visitor = Visitor()
    visitor.post(
        "/accounts/login/",
        {"login": user.email, "password": GOOD},
        HTTP_USER_AGENT=agent,
        REMOTE_ADDR=address,
    )
    assert visitor.is_signed_in()
    return visitor


def enter(visitor: Visitor, organisation: Organisation) -> None:
    token = field(visitor.post(f"/o/{organisation.label}/"), "token")
    host = organisation.instance_host
    visitor.post("/hand-off", {"token": token}, host, HTTP_ORIGIN="http://localhost:8000")
    assert inside(visitor, organisation)


def inside(visitor: Visitor, organisation: Organisation) -> bool:
    answer: Any = visitor.get("/api/organisation", organisation.instance_host)
    return bool(answer.status_code == 200)


def on_base(visitor: Visitor) -> bool:
    return bool(visitor.get("/signup/status").status_code != 401)


def reference(visitor: Visitor) -> str:
    return sessions.reference(visitor.at("localhost").cookies["pulsecloud_session"].value)


def test_works() -> None:
    user = make_user(password=GOOD)
    organisation = make_organisation(owner=user)
    here, phone = browser(user), browser(user, SAFARI, "2001:db8::7")
    enter(phone, organisation)
    page = here.get(PATH).content.decode()
    assert page.index("Firefox on Linux") < page.index("Safari on iPhone")
    assert "from 192.0.2.1" in page
    assert "from 2001:db8::7" in page
    assert f"Opened {organisation.instance_host}" in page
    assert page.count("This browser") == 1
    assert field(here.get(PATH), "session") == reference(phone)


def test_ending_one_ends_what_it_opened_and_nothing_else() -> None:
    user = make_user(password=GOOD)
    organisation = make_organisation(owner=user)
    here, stolen, third = browser(user), browser(user, SAFARI), browser(user)
    for each in (here, stolen):
        enter(each, organisation)
    answer = here.post(PATH, {"session": reference(stolen)})
    assert (answer.status_code, answer.headers["Location"]) == (303, PATH)
    assert not on_base(stolen)
    assert not inside(stolen, organisation)
    assert on_base(here)
    assert on_base(third)
    assert inside(here, organisation)
    assert Event.objects.filter(action="sessions_ended", actor_id=user.pk).count() == 1


def test_signing_out_everywhere_else() -> None:
    user = make_user(password=GOOD)
    organisation = make_organisation(owner=user)
    here, others = browser(user), [browser(user), browser(user, SAFARI)]
    for each in (here, *others):
        enter(each, organisation)
    here.post(PATH, {"others": "yes"})
    assert on_base(here)
    assert inside(here, organisation)
    for each in others:
        assert not on_base(each)
        assert not inside(each, organisation)
    assert "nowhere else" in here.get(PATH).content.decode()


def test_nobody_ends_or_sees_somebody_elses() -> None:
    mine, theirs = browser(make_user(password=GOOD)), browser(make_user(password=GOOD), SAFARI)
    mine.post(PATH, {"session": reference(theirs)})
    assert on_base(theirs)
    assert "iPhone" not in mine.get(PATH).content.decode()
    assert Visitor().post(PATH, {"others": "yes"}).status_code == 302


@pytest.mark.parametrize("named", ["", "x", "\x00", "0" * 40, "' OR 1=1", "a" * 5000])
def test_odd_references_do_nothing(named: str) -> None:
    visitor = browser(make_user(password=GOOD))
    assert visitor.post(PATH, {"session": named}).status_code == 303
    assert on_base(visitor)


def test_the_form_needs_its_token() -> None:
    user = make_user(password=GOOD)
    careful = Visitor(careful=True).sign_in(user)
    other = browser(user)
    assert careful.post(PATH, {"others": "yes"}).status_code == 403
    assert on_base(other)


def test_knows_since_when_and_keeps_it() -> None:
    visitor = browser(make_user(password=GOOD))
    before = Session.objects.get(pk=reference(visitor))
    session = visitor.at("localhost").session
    session["something"] = 1
    session.save()
    after = Session.objects.get(pk=reference(visitor))
    assert (after.created_at, after.agent, after.address) == (
        before.created_at,
        FIREFOX,
        "192.0.2.1",
    )


def test_last_use_is_written_once_a_minute_at_most(django_assert_num_queries: Any) -> None:
    visitor = browser(make_user(password=GOOD))
    row = Session.objects.filter(pk=reference(visitor))
    old = timezone.now() - timedelta(seconds=61)
    row.update(seen_at=old)
    visitor.get(PATH)
    touched = row.get().seen_at
    assert touched > old
    row.update(seen_at=touched - timedelta(seconds=50))
    visitor.get(PATH)
    assert row.get().seen_at == touched - timedelta(seconds=50)


def test_a_session_of_an_organisations_host_without_a_base_session_is_listed_too() -> None:
    """Single sign-on makes such sessions for people who also have an account here."""
    organisation = make_organisation()
    owner = owner_of(organisation)
    alone = Visitor().sign_in(owner, organisation.instance_host)
    here = Visitor().sign_in(owner)
    assert organisation.instance_host in here.get(PATH).content.decode()
    here.post(PATH, {"others": "yes"})
    assert not inside(alone, organisation)


def test_expired_ones_are_not_shown_and_are_tidied_away() -> None:
    user = make_user(password=GOOD)
    here, old = browser(user), browser(user, SAFARI)
    Session.objects.filter(pk=reference(old)).update(expire_date=timezone.now())
    assert "iPhone" not in here.get(PATH).content.decode()
    tasks.tidy.func(timestamp=0)
    assert not Session.objects.filter(pk=reference(old)).exists()
    assert on_base(here)


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/126.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.5.0", "curl"),
        ("", "An unknown browser"),
        ("<script>alert(1)</script>", "An unknown browser"),
    ],
)
def test_browsers_in_words(agent: str, words: str) -> None:
    assert session_views.in_words(agent) == words


def test_a_hostile_browser_name_stays_text() -> None:
    user = make_user(password=GOOD)
    browser(user, "<img src=x onerror=alert(1)> \x00 Firefox/1")
    page = browser(user).get(PATH).content.decode()
    assert not re.search(r"<img src=x", page)
