"""Staff act through the API with the sign-in that opens the staff pages, and with no lesser one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from audit.models import Event
from tenants.accounts import recent
from tenants.models import Organisation, State, User
from tests.accounts.browsing import BASE, Visitor
from tests.accounts.second_factor import give, turn_on
from tests.accounts.test_passwords import sign_in
from tests.factories import make_organisation, make_user, owner_of
from tests.lifecycle.test_api import told

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
VERBS = ["suspend", "unsuspend", "soft-delete", "restore", "purge"]


@pytest.fixture
def production(settings: Any) -> None:
    settings.PRODUCTION = True


@pytest.fixture
def colleague() -> User:
    return make_user(password=PASSWORD, is_staff=True, is_superuser=True)


def ask(visitor: Visitor, organisation: Organisation, verb: str) -> Any:
    path = f"/api/admin/orgs/{organisation.pk}/{verb}"
    return visitor.at(BASE).post(path, b"", content_type="application/json", HTTP_HOST=BASE)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("verb", VERBS)
def test_a_password_alone_decides_nothing(colleague: User, verb: str) -> None:
    organisation = make_organisation(canary=verb == "purge")
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    assert told(ask(visitor, organisation, verb)) == (403, "second_factor_required")
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE
    events = Event.objects.filter(organisation=organisation.pk, actor_id=str(colleague.pk))
    assert not events.exists()


@pytest.mark.usefixtures("production")
def test_nor_shows_it_who_is_here(colleague: User) -> None:
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    answer = visitor.get("/api/hosted/organizations")
    assert told(answer) == (403, "second_factor_required")


@pytest.mark.usefixtures("production")
def test_a_password_and_a_code_do(colleague: User) -> None:
    organisation = make_organisation()
    app = turn_on(colleague)
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    give(visitor, app.code(ahead=1))
    assert ask(visitor, organisation, "suspend").json()["status"] == "suspended"
    assert visitor.get("/api/hosted/organizations").status_code == 200


@pytest.mark.usefixtures("production")
def test_who_has_no_right_is_told_nothing_of_factors() -> None:
    visitor = Visitor().sign_in(make_user(is_staff=True))
    assert told(ask(visitor, make_organisation(), "suspend")) == (403, "access_denied")


@pytest.mark.usefixtures("production")
def test_owners_need_none() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    assert ask(visitor, organisation, "suspend").status_code == 200


@pytest.mark.parametrize(
    ("verb", "status"), [("suspend", 401), ("soft-delete", 401), ("unsuspend", 409)]
)
def test_what_is_dangerous_takes_a_recent_sign_in(colleague: User, verb: str, status: int) -> None:
    """As on the staff pages. Owners reach nobody else's organisation, and are not asked."""
    organisation = make_organisation()
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    _long_ago(visitor)
    answer = ask(visitor, organisation, verb)
    assert answer.status_code == status
    if status == 401:
        assert told(answer) == (401, "fresh_session_required")
        owner = Visitor().sign_in(owner_of(organisation))
        _long_ago(owner)
        assert ask(owner, organisation, verb).status_code == 200


def _long_ago(visitor: Visitor) -> None:
    session = visitor.at(BASE).session
    session["_signed_in_at"] = time.time() - recent.SECONDS - 1
    session.save()


def test_elsewhere_it_is_offered_only(colleague: User) -> None:
    visitor, _ = sign_in(str(colleague.email), PASSWORD)
    assert ask(visitor, make_organisation(), "suspend").status_code == 200
