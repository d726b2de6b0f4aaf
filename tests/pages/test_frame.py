"""What stands around every page, and the pages for when something is not there."""

from __future__ import annotations

from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client

from tests.accounts.browsing import Visitor
from tests.factories import make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db


def test_a_visitor_finds_the_way_in() -> None:
    page = Client().get("/", HTTP_HOST="localhost").content.decode()
    assert 'href="/signup"' in page and 'href="/accounts/login/"' in page
    assert "Sign out" not in page


def test_hosted_mode_off_leaves_no_dead_link(settings: Any) -> None:
    owner = owner_of(make_organisation())
    settings.HOSTED_MODE = False
    for visitor in (Visitor(), Visitor().sign_in(owner)):
        page = visitor.get("/").content.decode()
        assert "switched off" in page
        assert "/signup" not in page and 'action="/o/' not in page
    assert "/signup" not in Client().get("/accounts/login/", HTTP_HOST="localhost").content.decode()


def test_an_organisations_host_leads_back_to_the_base_domain() -> None:
    organisation = make_organisation()
    host = organisation.instance_host
    page = Visitor().sign_in(owner_of(organisation), host).get("/", host).content.decode()
    assert 'href="http://localhost:8000/"' in page
    assert 'action="/sign-out"' in page
    assert organisation.display_name in page


def test_people_without_a_password_are_told() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    owner.set_unusable_password()
    owner.save()
    assert "/accounts/password/set/" in Visitor().sign_in(owner).get("/").content.decode()
    owner.set_password("a fairly long phrase")
    owner.save()
    assert "/accounts/password/set/" not in Visitor().sign_in(owner).get("/").content.decode()


def test_who_has_no_organisation_is_told_what_to_do() -> None:
    assert "No organisation yet" in Visitor().sign_in(make_user()).get("/").content.decode()


def test_a_missing_page_says_so_in_the_frame() -> None:
    answer = Client().get("/nothing-here", HTTP_HOST="localhost")
    assert answer.status_code == 404
    assert "There is no page here" in answer.content.decode()


def test_the_page_for_our_own_faults_needs_nothing_that_could_fail() -> None:
    page = render_to_string("500.html")
    assert "Something went wrong here" in page and "/static/pulsecloud/site.css" in page


@pytest.mark.parametrize(
    "path", ["/accounts/email/", "/accounts/confirm-email/", "/accounts/signup/"]
)
def test_accounts_come_from_sign_up_alone(path: str) -> None:
    """allauth's own pages would make people without organisations and addresses without proof."""
    assert Client().get(path, HTTP_HOST="localhost").status_code == 302
    visitor = Visitor().sign_in(make_user())
    assert visitor.post(path, {"email": "other@example.test", "action_add": ""}).status_code == 302
