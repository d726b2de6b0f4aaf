"""A session is good on the host that made it and nowhere else (F16)."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tenants.accounts.sessions import HOST_KEY
from tenants.models import Membership, Organisation
from tests.factories import make_organisation, make_user, owner_of, sign_in

pytestmark = pytest.mark.django_db


def summary(client: Client, organisation: Organisation) -> Any:
    return client.get("/api/organisation", HTTP_HOST=organisation.instance_host)


def test_works_on_its_own_host(client: Client) -> None:
    organisation = make_organisation()
    sign_in(client, owner_of(organisation), organisation)
    assert summary(client, organisation).status_code == 200


@pytest.mark.covers("F16")
def test_is_no_session_on_another_organisations_host(client: Client) -> None:
    """The same person is a member of both: membership alone would let this through."""
    person = make_user()
    mine, other = make_organisation(owner=person), make_organisation(owner=person)
    sign_in(client, person, mine)
    answer = summary(client, other)
    assert answer.status_code == 401
    # That browser forgets the cookie; the session stays good where it belongs.
    assert answer.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == 0


@pytest.mark.covers("F16")
def test_stays_good_at_home_after_it_was_tried_elsewhere(client: Client) -> None:
    person = make_user()
    mine, other = make_organisation(owner=person), make_organisation(owner=person)
    sign_in(client, person, mine)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert summary(client, other).status_code == 401
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert summary(client, mine).status_code == 200


def test_of_the_base_domain_opens_no_organisation(client: Client) -> None:
    organisation = make_organisation()
    sign_in(client, owner_of(organisation))
    assert summary(client, organisation).status_code == 401


def test_without_a_host_is_good_nowhere(client: Client) -> None:
    organisation = make_organisation()
    client.force_login(owner_of(organisation))
    assert HOST_KEY not in client.session
    assert summary(client, organisation).status_code == 401


def test_is_bound_when_it_is_made(client: Client) -> None:
    """Through the real sign-in form, on the base domain."""
    person = make_user(password="correct horse battery")
    page = client.get("/accounts/login/", HTTP_HOST="localhost")
    assert page.status_code == 200
    answer = client.post(
        "/accounts/login/",
        {"login": person.email, "password": "correct horse battery"},
        HTTP_HOST="localhost",
    )
    assert answer.status_code == 302, answer.content
    assert client.session[HOST_KEY] == "localhost"


def test_ends_with_the_account(client: Client) -> None:
    organisation = make_organisation()
    person = owner_of(organisation)
    sign_in(client, person, organisation)
    person.is_active = False
    person.save()
    assert summary(client, organisation).status_code == 401


def test_does_not_outlive_membership(client: Client) -> None:
    organisation = make_organisation()
    person = owner_of(organisation)
    sign_in(client, person, organisation)
    Membership.objects.filter(organisation=organisation, user=person).delete()
    answer = summary(client, organisation)
    assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")
