"""Signing in by mail (hosted-contract sections 4.1 to 4.3): uniform, single use, states honoured."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Event
from tenants.accounts import magic_link_views
from tenants.models import Link, LinkPurpose, Organisation, OutboxMail, Session, State, User
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of, unique

pytestmark = pytest.mark.django_db
REQUEST = "/api/public/magic-link/request"
VERIFY = "/api/public/magic-link/verify"
JSON = {"HTTP_ACCEPT": "application/json"}


def ask(email: Any, **rest: Any) -> Any:
    body = (
        email if isinstance(email, str) and email.startswith("{") else json.dumps({"email": email})
    )
    return Visitor().post(REQUEST, body, content_type="application/json", **rest)


def mailed(user: User) -> str:
    body = OutboxMail.objects.filter(recipient=user.email).latest("pk").body
    return body.split("http://localhost:8000")[1].split()[0]


def link_for(user: User) -> str:
    assert ask(user.email).status_code == 200
    return mailed(user)


def owned(state: str = State.ACTIVE) -> tuple[User, Organisation]:
    organisation = make_organisation(state)
    return owner_of(organisation), organisation


def test_works_in_a_browser() -> None:
    user, organisation = owned()
    path, visitor = link_for(user), Visitor()
    page = visitor.get(path)
    assert str(user.email) in page.content.decode()
    assert not visitor.is_signed_in()
    answer = visitor.post(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/o/{organisation.label}/")
    assert visitor.is_signed_in()
    assert Session.objects.get(user=user.pk).host == "localhost"


def test_works_for_a_program() -> None:
    user, organisation = owned()
    path, program = link_for(user), Visitor()
    for _ in range(2):  # asking uses nothing up
        asked = program.get(path, **JSON)
        assert (asked.status_code, asked.json()["confirm"]) == (200, "POST")
    assert not program.is_signed_in()
    answer = program.post(path + "&format=json")
    assert answer.json() == {
        "success": True,
        "org_id": str(organisation.pk),
        "user_id": str(user.pk),
        "email": user.email,
    }
    assert program.get("/signup/status").status_code == 200


def test_the_answer_is_the_same_whatever_happens() -> None:
    known, closed = make_user(), make_user(is_active=False)
    answers = [ask(known.email) for _ in range(5)]
    answers += [ask(closed.email), ask(f"{unique('nobody')}@example.test")]
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1
    assert set(answers[0].json()) == {"success", "message"}
    assert OutboxMail.objects.filter(recipient=known.email).count() == 3
    assert not OutboxMail.objects.filter(recipient=closed.email).exists()


def test_takes_as_long_whether_or_not_there_is_an_account() -> None:
    import time

    def seconds(email: str) -> float:
        begun = time.monotonic()
        ask(email)
        return time.monotonic() - begun

    known = seconds(str(make_user().email))
    unknown = seconds(f"{unique('nobody')}@example.test")
    assert min(known, unknown) >= 0.15
    assert abs(known - unknown) < 0.1


def test_the_allowance_is_shared_with_sign_ups() -> None:
    user, _ = owned()
    for _ in range(3):
        body = json.dumps({"email": user.email, "org_name": "Another"})
        Visitor().post("/api/public/signup", body, content_type="application/json")
    ask(user.email)
    assert not Link.objects.filter(purpose=LinkPurpose.MAGIC_LINK).exists()


def test_a_token_has_the_contracts_form_and_only_its_hash_is_kept() -> None:
    user = make_user()
    token = link_for(user).split("token=")[1]
    assert token.startswith("ml1_")
    assert len(token) == 4 + 43
    link = Link.objects.get(user=user)
    assert token not in str(vars(link))
    left = link.expires_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


def refused_paths() -> list[str]:
    used, old = link_for(make_user()), link_for(user := make_user())
    Visitor().post(used)
    Link.objects.filter(user=user).update(expires_at=timezone.now())
    closed = make_user()
    shut = link_for(closed)
    closed.is_active = False
    closed.save()
    return [used, old, shut, f"{VERIFY}?token=ml1_{'x' * 43}", f"{VERIFY}?token=", VERIFY]


def test_bad_links_look_alike() -> None:
    paths = refused_paths()
    for method in ("get", "post"):
        pages = [getattr(Visitor(), method)(path) for path in paths]
        assert {(p.status_code, p.headers["Location"]) for p in pages} == {
            (303, "/accounts/login/?error=magic_link_invalid")
        }
        answers = [getattr(Visitor(), method)(path, **JSON) for path in paths]
        assert {(a.status_code, a.json()["code"]) for a in answers} == {(400, "invalid_magic_link")}
    page = Visitor().get("/accounts/login/?error=magic_link_invalid").content.decode()
    assert "no longer works" in page


def test_of_two_at_once_one_gets_in() -> None:
    path = link_for(make_user())
    first, second = Visitor(), Visitor()
    first.post(path)
    second.post(path)
    assert (first.is_signed_in(), second.is_signed_in()) == (True, False)


@pytest.mark.covers("H4")
@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_a_shut_organisation_is_not_entered(state: str) -> None:
    user, organisation = owned(state)
    program = Visitor()
    answer = program.post(link_for(user), **JSON)
    assert (answer.status_code, answer.json()["code"]) == (403, "org_suspended")
    assert not program.is_signed_in()
    assert not Session.objects.filter(user=user.pk).exists()
    assert Event.objects.filter(organisation=organisation.pk, reason="org_suspended").exists()
    visitor = Visitor()
    way = visitor.post(link_for(user)).headers["Location"]
    assert visitor.is_signed_in()  # what the base domain offers stays open (design section 6)
    page = visitor.get(way)
    assert page.status_code == 403
    assert "is suspended" in page.content.decode()
    assert "Your account stays open" in page.content.decode()
    assert visitor.get("/accounts/").status_code == 200
    assert visitor.get("/api/organisation", organisation.instance_host).status_code == 401


def test_an_open_organisation_goes_before_a_shut_one() -> None:
    user, shut = owned(State.SUSPENDED)
    opened = make_organisation()
    add_member(opened, user=user)
    assert Visitor().post(link_for(user), **JSON).json()["org_id"] == str(opened.pk)
    assert Visitor().post(link_for(user)).headers["Location"] == "/"
    assert shut.pk != opened.pk


@pytest.mark.covers("H19")
def test_who_has_no_organisation_gets_in_all_the_same() -> None:
    user = make_user()
    answer = Visitor().post(link_for(user), **JSON)
    assert answer.json()["org_id"] is None
    assert not user.memberships.exists()  # a link makes nobody a member, least of all an owner


def test_a_person_with_two_factors_is_told_so_as_a_program() -> None:
    from tests.accounts.second_factor import give, turn_on

    user = make_user()
    app = turn_on(user)
    program = Visitor()
    answer = program.post(link_for(user), **JSON)
    assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required")
    assert not program.is_signed_in()
    give(program, app.code(ahead=1))
    assert program.is_signed_in()


def test_staff_are_sent_to_their_password() -> None:
    staff = make_user(is_staff=True)
    assert link_for(staff) == "/accounts/login/"
    assert not Link.objects.exists()


def test_another_sites_page_signs_nobody_in() -> None:
    path = link_for(make_user())
    careful = Visitor(careful=True)
    assert careful.post(path).status_code == 403
    evil = {**JSON, "HTTP_ORIGIN": "https://evil.example"}
    assert careful.post(path, **evil).status_code == 403
    assert careful.post(path + "&format=json", HTTP_ORIGIN="null").status_code == 403
    assert Link.objects.get().used_at is None
    assert not careful.is_signed_in()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "invalid_request"),
        ("[]", "invalid_request"),
        ('{"email": "' + "x" * 17_000 + '"}', "invalid_request"),
        ('{"email": "no address"}', "invalid_email"),
        ('{"email": 7}', "invalid_email"),
        ("{}", "invalid_email"),
    ],
)
def test_what_cannot_be_a_request_is_told(body: str, code: str) -> None:
    answer = Visitor().post(REQUEST, body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_methods() -> None:
    assert Visitor().get(REQUEST).status_code == 405
    assert Visitor().at("localhost").put(VERIFY, HTTP_HOST="localhost").status_code == 405


def test_without_a_public_address_no_link_is_made(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    answer = ask(make_user().email)
    assert (answer.status_code, answer.json()["code"]) == (503, "magic_links_unavailable")
    assert not Link.objects.exists()


def test_hosted_mode_off_leaves_no_trace(settings: Any) -> None:
    path = link_for(make_user())
    settings.HOSTED_MODE = False
    answers = [ask("ann@example.test"), Visitor().get(path), Visitor().post(path)]
    answers.append(Visitor().get("/accounts/magic-link/"))
    assert {(a.status_code, a.content) for a in answers} == {(404, b"Not found\n")}
    assert "Sign in by mail" not in Visitor().get("/accounts/login/").content.decode()


@pytest.mark.covers("F71")
def test_addresses_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(magic_link_views, "MESSAGE", "x")
    for n in range(20):
        assert ask("7", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").status_code == 400
    answer = ask("7", HTTP_X_FORWARDED_FOR="10.0.9.9")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert ask("7", REMOTE_ADDR="192.0.2.5").status_code == 400
    answers = [Visitor().get(f"{VERIFY}?token=x", **JSON).status_code for _ in range(31)]
    assert answers == [400] * 30 + [429]


def test_the_page_works_and_remembers_where_to() -> None:
    user = make_user()
    visitor = Visitor()
    page = visitor.get("/accounts/magic-link/?next=/signup/progress")
    assert 'value="/signup/progress"' in page.content.decode()
    form = {"email": user.email, "next": "/signup/progress"}
    sent = visitor.post("/accounts/magic-link/", form)
    assert "Look in your mailbox" in sent.content.decode()
    assert Visitor().post(mailed(user)).headers["Location"] == "/signup/progress"
    other = {**form, "email": (nobody := f"{unique('nobody')}@example.test")}
    again = Visitor().post("/accounts/magic-link/", other)
    assert again.content.decode().replace(nobody, "") == sent.content.decode().replace(
        str(user.email), ""
    )
    bad = visitor.post("/accounts/magic-link/", {"email": "x", "next": "/"})
    assert bad.status_code == 400


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/" + "x" * 400])
def test_the_page_leads_nowhere_else(target: str) -> None:
    user = make_user()
    Visitor().post("/accounts/magic-link/", {"email": user.email, "next": target})
    assert Visitor().post(mailed(user)).headers["Location"] == "/"
