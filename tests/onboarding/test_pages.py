"""The organisation's page, "Pair a phone" and the list of paired phones."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Event
from billing.models import BillingState
from rbac import mobile
from rbac.models import ApiToken
from relay.models import RelayStatus
from relay.wire import pairing
from tenants.models import MemberRole
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of
from tests.onboarding.conftest import Site, call

PAGES = ("/", "/devices")


def phones(site: Site) -> list[ApiToken]:
    with in_schema(site.organisation):
        return list(ApiToken.objects.filter(purpose=mobile.PURPOSE).order_by("created_at"))


def link_on(page: Any) -> str:
    found = re.search(r"pulse://connect\?[^\"<\s]+", page.content.decode())
    assert found
    return unescape(found[0])


def test_page_says_that_phones_can_reach_it(site: Site) -> None:
    text = site.visit("/").content.decode()
    assert "Phones can reach this organisation" in text
    assert site.registration.instance_id in text
    assert site.registration.identity_fingerprint in text
    assert site.host in text


def test_page_says_why_not_and_when_it_tries_again(site: Site) -> None:
    site.say(
        connected=False,
        last_error="the relay cannot be reached",
        reconnect_at=timezone.now() + timedelta(seconds=40),
    )
    text = site.visit("/").content.decode()
    assert "Phones cannot reach this organisation now" in text
    assert "The relay cannot be reached" in text and "40s" in text
    RelayStatus.objects.update(connected_at=None)
    assert "Connecting to the relay" in site.visit("/").content.decode()


def test_pairing_shows_a_working_code_once(site: Site) -> None:
    page = site.post("/pair")
    assert page.status_code == 200 and "no-store" in page["Cache-Control"]
    read = pairing.parse(link_on(page))
    assert read.instance_id == site.registration.instance_id
    assert read.identity_fingerprint == site.registration.identity_fingerprint
    assert read.auth_token != site.tenant.token
    assert "<svg" in page.content.decode()
    assert call(site.host, "/api/organisation", token=read.auth_token).status_code == 200
    for path in PAGES:
        assert read.auth_token not in site.visit(path).content.decode()


def test_code_is_the_clickers_own_and_dies_unused(site: Site) -> None:
    admin = add_member(site.organisation, MemberRole.ADMIN)
    page = site.member(admin).post("/pair", {"name": " Ann's\n phone "}, site.host)
    token = phones(site)[-1]
    assert (token.user, token.name, token.scopes) == (admin.pk, "Ann's phone", [mobile.SCOPE])
    assert token.last_used_at is None  # showing the code is no use of it
    assert token.unused_expires_at is not None
    left = token.unused_expires_at - timezone.now()
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    secret = pairing.parse(link_on(page)).auth_token
    with in_schema(site.organisation):
        ApiToken.objects.filter(pk=token.pk).update(unused_expires_at=timezone.now())
    assert call(site.host, "/api/organisation", token=secret).status_code == 401


def test_code_that_would_not_work_is_not_minted(site: Site, settings: Any) -> None:
    settings.RELAY_PUBLIC_URL = ""
    answer = site.post("/pair")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert "PULSE_RELAY_PUBLIC_URL" in site.visit("/").content.decode()
    assert phones(site)[-1].revoked_at is not None


def test_loopback_relay_is_told_to_the_person(site: Site, settings: Any) -> None:
    settings.RELAY_PUBLIC_URL = "ws://127.0.0.1:8001"
    assert "PULSE_RELAY_ADDR=0.0.0.0" in site.post("/pair").content.decode()


def test_removing_a_phone_shuts_it_out(site: Site) -> None:
    page = site.visit("/devices")
    assert "Phone" in page.content.decode()
    answer = site.post("/devices", {"token": str(site.tenant.token_id)})
    assert (answer.status_code, answer["Location"]) == (302, "/devices")
    assert "removed and shut out" in site.visit("/devices").content.decode()
    assert site.ask("/api/organisation").status_code == 401
    event = Event.objects.get(organisation=site.organisation.pk, action="token_revoked")
    assert event.actor_label == str(owner_of(site.organisation))


@pytest.mark.parametrize("token", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_removing_what_is_not_there_is_told(site: Site, token: str) -> None:
    assert site.post("/devices", {"token": token}).status_code == 302
    assert "not paired any more" in site.visit("/devices").content.decode()


def test_only_phones_can_be_removed_here(site: Site) -> None:
    from tests.factories import make_token

    make_token(site.organisation)
    with in_schema(site.organisation):
        other = ApiToken.objects.exclude(purpose=mobile.PURPOSE).get()
    site.post("/devices", {"token": str(other.pk)})
    with in_schema(site.organisation):
        assert ApiToken.objects.get(pk=other.pk).revoked_at is None


def test_viewer_sees_and_may_not_pair_or_remove(site: Site) -> None:
    viewer = site.member(add_member(site.organisation, MemberRole.VIEWER))
    page = viewer.get("/", site.host).content.decode()
    assert "Phones can reach" in page and 'action="/pair"' not in page
    assert 'name="token"' not in viewer.get("/devices", site.host).content.decode()
    assert viewer.post("/pair", {}, site.host).status_code == 403
    removal = viewer.post("/devices", {"token": str(site.tenant.token_id)}, site.host)
    assert removal.status_code == 403
    assert phones(site)[0].revoked_at is None and len(phones(site)) == 1


def test_pairing_needs_the_relay_capability(site: Site) -> None:
    BillingState.objects.filter(organisation=site.organisation).update(capabilities=[])
    assert site.post("/pair").status_code == 402
    assert len(phones(site)) == 1


def test_pairing_is_a_post_with_a_csrf_token(site: Site) -> None:
    careful = Visitor(careful=True).sign_in(owner_of(site.organisation), site.host)
    assert careful.post("/pair", {}, site.host).status_code == 403
    assert (
        careful.post("/devices", {"token": str(site.tenant.token_id)}, site.host).status_code == 403
    )
    assert careful.get("/pair", site.host).status_code == 405
    assert len(phones(site)) == 1 and phones(site)[0].revoked_at is None


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_sent_to_sign_in(site: Site, path: str) -> None:
    known, unknown = call(site.host, path), call("nobody-here.localhost", path)
    assert known.status_code == unknown.status_code == 302
    assert known["Location"].removesuffix(f"/o/{site.organisation.label}/") == unknown[
        "Location"
    ].removesuffix("/o/nobody-here/")
    assert site.member(make_user()).get(path, site.host).status_code == 403
    assert site.member(owner_of(make_organisation())).get(path, site.host).status_code == 403
