"""While single sign-on is required it is asked for at every request, not at the hand-off only (F74)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.actors import Actor
from tenants.models import Organisation, SsoProvider, User
from tenants.people import ownership
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_token, make_user, owner_of, sign_in
from tests.sso.idp import Idp
from tests.sso.people import comes, make_provider

pytestmark = pytest.mark.django_db
API = "/api/security/sso/providers"


@pytest.fixture
def host(organisation: Organisation) -> str:
    return organisation.instance_host


@pytest.fixture
def colleague(organisation: Organisation) -> User:
    return add_member(organisation, "admin")


def demand(organisation: Organisation, on: bool = True) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(sso_required=on)


def ask(client: Client, host: str, **headers: str) -> Any:
    return client.get(API, HTTP_HOST=host, headers=headers)


@pytest.mark.covers("F74")
def test_a_session_that_came_otherwise_opens_nothing(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str, colleague: User
) -> None:
    """Also one that was made a moment before, and escaped the signing out of everybody."""
    theirs, owners, by_sso = Client(), Client(), Visitor()
    sign_in(theirs, colleague, organisation)
    sign_in(owners, owner_of(organisation), organisation)
    comes(by_sso, provider, idp)
    assert ask(theirs, host).status_code == 200
    demand(organisation)
    refused = ask(theirs, host)
    assert (refused.status_code, refused.json()["error"]) == (401, "sso_required")
    page = theirs.get("/", HTTP_HOST=host)
    assert (page.status_code, page.headers["Location"]) == (302, "/sso/")
    assert theirs.get("/sso/", HTTP_HOST=host).status_code == 200
    assert ask(owners, host).status_code == 200
    assert by_sso.get("/", host=host).status_code == 200
    token = make_token(organisation, user=colleague)
    assert ask(Client(), host, **{"X-API-Token": token}).status_code == 200
    demand(organisation, on=False)
    assert ask(theirs, host).status_code == 200


def test_a_former_owners_own_sign_in_ends_with_the_transfer(
    provider: SsoProvider, organisation: Organisation, host: str, colleague: User
) -> None:
    old, client = owner_of(organisation), Client()
    sign_in(client, old, organisation)
    demand(organisation)
    assert ask(client, host).status_code == 200
    organisation.refresh_from_db()
    ownership.transfer_ownership(organisation=organisation, to=colleague, actor=Actor.person(old))
    sign_in(client, old, organisation)
    assert ask(client, host).json()["error"] == "sso_required"


def test_strangers_do_not_learn_of_it(organisation: Organisation, idp: Idp, host: str) -> None:
    """Neither without a session, nor with one of somebody who is no member."""
    make_provider(organisation, idp)
    stranger = Client()
    sign_in(stranger, make_user(), organisation)
    before = [(a.status_code, a.content) for a in (ask(Client(), host), ask(stranger, host))]
    demand(organisation)
    after = [(a.status_code, a.content) for a in (ask(Client(), host), ask(stranger, host))]
    assert before == after


def test_it_costs_no_query(provider: SsoProvider, organisation: Organisation, host: str) -> None:
    client = Client()
    sign_in(client, owner_of(organisation), organisation)
    ask(client, host)
    counts = []
    for on in (False, True):
        demand(organisation, on)
        with CaptureQueriesContext(connection) as queries:
            assert ask(client, host).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
