"""Passwords, by allauth with our rules: uniform answers, single use, sessions revoked (C6)."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command

from tenants.models import OutboxMail, User
from tests.accounts.browsing import Visitor
from tests.factories import make_user, unique

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
