"""Passwords, by allauth with our rules: uniform answers, single use, sessions revoked (C6)."""

from __future__ import annotations

import re
import time
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command

from audit.models import Event
from tenants.models import OutboxMail, Session, User
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import give, turn_on
from tests.factories import make_organisation, make_token, make_user, unique

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"


def reset(email: str | None, **rest: Any) -> Any:
    return Visitor().post("/accounts/password/reset/", {"email": email}, **rest)


def key_path(email: str | None) -> str:
    body = OutboxMail.objects.filter(recipient=email).latest("pk").body
    found = re.search(r"http://localhost:8000(/accounts/password/reset/key/\S+)", body)
    assert found, body
    return found[1]


def set_password(path: str, password: str = GOOD) -> Visitor:
    visitor = Visitor()
    first = visitor.get(path)
    if first.status_code == 302:  # on to the form, with the key out of the address
        step = first.headers["Location"]
        visitor.post(step, {"password1": password, "password2": password})
    return visitor


def sign_in(email: str | None, password: str, **rest: Any) -> tuple[Visitor, Any]:
    visitor = Visitor()
    data = {"login": email, "password": password}
    return visitor, visitor.post("/accounts/login/", data, **rest)


def test_signing_in_and_out_work() -> None:
    user = make_user(password=GOOD)
    visitor, answer = sign_in(str(user.email).upper(), GOOD)
    assert answer.status_code == 302
    assert visitor.is_signed_in()
    assert visitor.get("/accounts/logout/").status_code == 200
    assert visitor.is_signed_in()  # GET only asks
    visitor.post("/accounts/logout/")
    assert not visitor.is_signed_in()


def test_a_wrong_password_and_an_unknown_address_look_alike() -> None:
    user = make_user(password=GOOD)
    _, wrong = sign_in(user.email, "something else")
    _, unknown = sign_in("nobody@example.test", "something else")
    texts = [re.sub(r'value="[^"]*"', "", answer.content.decode()) for answer in (wrong, unknown)]
    assert texts[0] == texts[1]
    assert (wrong.status_code, unknown.status_code) == (200, 200)


def test_resetting_is_uniform_and_mails_only_as_often_as_allowed() -> None:
    user = make_user()
    stranger = f"{unique('stranger')}@example.test"
    answers = [reset(user.email) for _ in range(5)] + [reset(stranger)]
    assert len({(a.status_code, a.headers.get("Location")) for a in answers}) == 1
    assert OutboxMail.objects.filter(recipient=user.email).count() == 3


def test_a_reset_link_works_once_and_ends_all_sessions() -> None:
    user = make_user(password="the password before")
    elsewhere = Visitor().sign_in(user)
    reset(user.email)
    path = key_path(user.email)
    set_password(path)
    assert elsewhere.get("/signup/status").status_code == 401
    assert sign_in(user.email, GOOD)[0].is_signed_in()
    set_password(path, "another long enough one")
    assert sign_in(user.email, GOOD)[0].is_signed_in()


def test_people_without_a_password_can_set_one() -> None:
    user = make_user()
    user.set_unusable_password()
    user.save()
    reset(user.email)
    set_password(key_path(user.email))
    assert sign_in(user.email, GOOD)[0].is_signed_in()


def test_a_reset_link_leads_to_the_configured_address(settings: Any) -> None:
    settings.PUBLIC_URL = "https://cloud.example.com"
    user = make_user()
    reset(user.email)
    body = OutboxMail.objects.get(recipient=user.email).body
    assert "https://cloud.example.com/accounts/password/reset/key/" in body
    assert "localhost" not in body


@pytest.mark.parametrize("method", ["get", "post"])
def test_allauths_own_sign_up_is_closed(method: str) -> None:
    before = User.objects.count()
    answer = getattr(Visitor(), method)("/accounts/signup/")
    assert answer.headers["Location"] == "/signup"
    assert User.objects.count() == before


@pytest.mark.parametrize("path", ["/accounts/email/", "/accounts/confirm-email/"])
def test_an_address_is_not_changed_without_proof(path: str) -> None:
    """allauth's page would let anybody carry any address, unproved."""
    user = make_user()
    visitor = Visitor().sign_in(user)
    victim = f"{unique('victim')}@example.test"
    answer = visitor.post(path, {"action_add": "", "email": victim})
    assert answer.headers["Location"] == "/"
    user.refresh_from_db()
    assert user.email != victim
    assert not EmailAddress.objects.filter(email=victim).exists()


def test_createsuperuser_works() -> None:
    email = f"{unique('root')}@example.test"
    call_command("createsuperuser", "--noinput", "--email", email, stdout=StringIO())
    user = User.objects.get(email=email)
    assert user.is_staff
    assert user.is_superuser


@pytest.mark.covers("C6")
def test_a_reset_ends_every_session_on_every_host_and_is_noted() -> None:
    owner = make_user(password="the password before")
    organisation = make_organisation(owner=owner)
    host = organisation.instance_host
    browsers = [Visitor().sign_in(owner).sign_in(owner, host) for _ in range(2)]
    token = make_token(organisation)
    reset(owner.email)
    set_password(key_path(owner.email))
    assert not Session.objects.filter(user=owner.pk).exists()
    for browser in browsers:
        assert browser.get("/signup/status").status_code == 401
        assert browser.get("/api/organisation", host).status_code == 401
    kept = Visitor().get("/api/organisation", host, HTTP_X_API_TOKEN=token)
    assert kept.status_code == 200  # phones stay paired, tokens have a page of their own
    actions = list(
        Event.objects.filter(subject=owner.email)
        .filter(action__startswith="password")
        .order_by("pk")
        .values_list("action", "success")
    )
    assert actions == [("password_reset_requested", True), ("password_reset_completed", True)]
    assert "was changed" in OutboxMail.objects.filter(recipient=owner.email).latest("pk").subject


def test_a_used_reset_link_is_refused_and_noted() -> None:
    user = make_user()
    reset(user.email)
    path = key_path(user.email)
    set_password(path)
    page = Visitor().get(path)
    assert "no longer works" in page.content.decode()
    assert Event.objects.filter(action="password_reset_failed", success=False).count() == 1


def test_a_reset_link_is_good_for_an_hour(settings: Any) -> None:
    assert settings.PASSWORD_RESET_TIMEOUT <= 3600
    user = make_user()
    reset(user.email)
    path = key_path(user.email)
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "no longer works" in Visitor().get(path).content.decode()


def test_a_reset_leaves_the_second_factor() -> None:
    user = make_user(password="the password before")
    app = turn_on(user)
    reset(user.email)
    set_password(key_path(user.email))
    visitor, _ = sign_in(user.email, GOOD)
    assert not visitor.is_signed_in()
    give(visitor, app.code(ahead=1))
    assert visitor.is_signed_in()


def test_resets_are_limited_per_address() -> None:
    answers = [reset(f"{unique('x')}@example.test").status_code for _ in range(11)]
    assert answers == [302] * 10 + [429]
    assert reset(f"{unique('x')}@example.test", REMOTE_ADDR="192.0.2.66").status_code == 302


def test_asking_takes_as_long_whether_or_not_there_is_an_account() -> None:
    def seconds(email: str | None) -> float:
        begun = time.monotonic()
        reset(email)
        return time.monotonic() - begun

    known, unknown = seconds(make_user().email), seconds(f"{unique('x')}@example.test")
    assert min(known, unknown) >= 0.15
    assert abs(known - unknown) < 0.1


def test_changing_the_password_ends_all_other_sessions() -> None:
    owner = make_user(password="the password before")
    organisation = make_organisation(owner=owner)
    host = organisation.instance_host
    here, elsewhere = (Visitor().sign_in(owner).sign_in(owner, host) for _ in range(2))
    form = {"oldpassword": "the password before", "password1": GOOD, "password2": GOOD}
    answer = here.post("/accounts/password/change/", form)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/")
    assert here.get("/signup/status").status_code == 200
    assert elsewhere.get("/signup/status").status_code == 401
    for browser in (here, elsewhere):
        assert browser.get("/api/organisation", host).status_code == 401
    assert Session.objects.filter(user=owner.pk).count() == 1
    assert Event.objects.filter(action="password_changed", actor_id=owner.pk).count() == 1


def test_development_says_where_the_mail_is(settings: Any) -> None:
    def told() -> str:
        return str(reset("nobody@example.test", follow=True).content.decode())

    assert "/admin/tenants/outboxmail/" in told() and "manage.py sign_in_link" in told()
    settings.EMAIL_URL = "smtp://mail.example.test"
    assert "sign_in_link" not in told()
    settings.EMAIL_URL, settings.PRODUCTION = "", True
    assert "sign_in_link" not in told()


def test_setting_a_first_password_ends_all_other_sessions() -> None:
    user = make_user()
    here, elsewhere = Visitor().sign_in(user), Visitor().sign_in(user)
    here.post("/accounts/password/set/", {"password1": GOOD, "password2": GOOD})
    assert here.is_signed_in()
    assert elsewhere.get("/signup/status").status_code == 401


def test_news_about_the_account_come_over_any_allowance() -> None:
    """Whoever uses the hourly allowance up does not keep the news away."""
    user = make_user(password="the password before")
    for _ in range(3):
        reset(user.email)
    form = {"oldpassword": "the password before", "password1": GOOD, "password2": GOOD}
    Visitor().sign_in(user).post("/accounts/password/change/", form)
    latest = OutboxMail.objects.filter(recipient=user.email).latest("pk")
    assert "was changed" in latest.subject


def test_a_mailbox_written_in_capitals_is_the_same_mailbox() -> None:
    user = make_user(f"Ann.{unique('Cap')}@Example.Test", password=GOOD)
    assert sign_in(user.email, GOOD)[0].is_signed_in()
    assert sign_in(str(user.email).lower(), GOOD)[0].is_signed_in()
    reset(str(user.email).upper())
    assert OutboxMail.objects.filter(recipient__iexact=user.email, body__contains="/key/").exists()
