"""In production the staff pages open with a second factor only; elsewhere it is offered."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from tenants.models import User
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import App, give, turn_on
from tests.accounts.test_passwords import sign_in
from tests.admin import staff
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def production(settings: Any) -> None:
    settings.PRODUCTION = True


@pytest.fixture
def colleague() -> User:
    return make_user(password=PASSWORD, is_staff=True, is_superuser=True)


def by_code(colleague: User) -> tuple[Visitor, App]:
    app = turn_on(colleague)
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    give(visitor, app.code(ahead=1))
    assert visitor.is_signed_in()
    return visitor, app


def test_elsewhere_a_password_suffices_and_it_is_offered(client: Client) -> None:
    page = client.get("/admin/").content.decode()
    assert "Two-factor sign-in is off for your account" in page
    assert "/accounts/2fa/" in page


@pytest.mark.usefixtures("production")
def test_a_password_alone_opens_nothing(colleague: User) -> None:
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    for path in ("/admin/", "/admin/tenants/organisation/", "/admin/search/?s=example"):
        answer = visitor.get(path, follow=True)
        assert answer.status_code == 403, path
        text = answer.content.decode()
        assert "Turn on two-factor sign-in" in text and "/accounts/2fa/totp/activate/" in text
        assert "Organisations by state" not in text


@pytest.mark.usefixtures("production")
def test_a_password_and_a_code_open_them(colleague: User) -> None:
    visitor, _ = by_code(colleague)
    page = visitor.get("/admin/")
    assert page.status_code == 200
    assert "is off for your account" not in page.content.decode()


@pytest.mark.usefixtures("production")
def test_turning_it_on_opens_them_in_the_same_session(colleague: User) -> None:
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    page = visitor.get("/accounts/2fa/totp/activate/").content.decode()
    app = App(page.split('aria-label="Key">')[1].split("<")[0])
    visitor.post("/accounts/2fa/totp/activate/", {"code": app.code()})
    assert visitor.get("/admin/").status_code == 200


@pytest.mark.usefixtures("production")
def test_a_session_from_before_does_not(colleague: User) -> None:
    """Whoever holds it knows the password and nothing else."""
    old, _ = sign_in(str(colleague.email), PASSWORD)
    turn_on(colleague)
    answer = old.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "did not take a code" in answer.content.decode()


@pytest.mark.usefixtures("production")
def test_without_the_factor_the_doors_shut_again(colleague: User) -> None:
    visitor, _ = by_code(colleague)
    Authenticator.objects.filter(user=colleague).delete()
    assert visitor.get("/admin/", follow=True).status_code == 403


@pytest.mark.usefixtures("production")
def test_customers_are_told_what_they_were_told() -> None:
    answer = staff.signed_in(make_user()).get("/admin/", follow=True)
    assert answer.status_code == 403 and "not a staff account" in answer.content.decode()


@pytest.mark.usefixtures("production")
def test_nothing_is_changed_without_it(colleague: User) -> None:
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    answer = visitor.post("/admin/tenants/invitation/add/", {"seats": 1, "days": 7})
    assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
