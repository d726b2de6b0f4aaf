"""Relay status and settings of an organisation, and who may see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import BillingState, Subscription
from relay.models import Registration
from tenants.models import MemberRole, State
from tests.factories import add_member, make_organisation, make_user, owner_of, put_in_state
from tests.onboarding.conftest import Site, call

STATUS, SETTINGS = "/api/settings/relay/status", "/api/settings/relay"
ALL = (STATUS, SETTINGS, "/api/onboarding/qr", "/api/onboarding/deep-link")


def test_status_of_a_connected_organisation(site: Site) -> None:
    ends = timezone.now() + timedelta(hours=24)
    site.say(active_channels=2, credential_expires_at=ends)
    body = site.ask(STATUS).json()
    assert body.pop("connected_at") < timezone.now().isoformat()
    assert body == {
        "connected": True,
        "instance_id": site.registration.instance_id,
        "active_channels": 2,
        "runtime": "builtin",
        "acknowledged": True,
        "credential": "lease",
        "credential_expires_at": ends.isoformat(),
    }


def test_status_after_a_failure(site: Site) -> None:
    """The id stays visible, the error is told, and when the next attempt is."""
    site.say(
        connected=False,
        active_channels=3,
        last_error="LICENSE_INVALID: no key",
        reconnect_at=timezone.now() + timedelta(seconds=300),
    )
    body = site.ask(STATUS).json()
    assert body["connected"] is False and body["active_channels"] == 0
    assert body["instance_id"] == site.registration.instance_id
    assert body["last_error"] == "LICENSE_INVALID: no key"
    assert body["reconnect_in"] in ("5m0s", "4m59s")


def test_settings_show_the_identity_and_no_secret(site: Site) -> None:
    answer = site.visit(SETTINGS)
    assert answer.json() == {
        "enabled": True,
        "server_url": "wss://relay.example.test",
        "identity_public_key": site.registration.identity_public_key,
        "identity_fingerprint": site.registration.identity_fingerprint,
    }


@pytest.mark.parametrize(
    "body",
    [{}, {"enabled": True}, {"server_url": "wss://relay.example.test"}, {"instance_secret": ""}],
)
def test_put_of_what_is_the_case_changes_nothing(site: Site, body: Any) -> None:
    before = Registration.objects.values().get(organisation=site.organisation)
    answer = site.owner.at(site.host).put(
        SETTINGS, body, content_type="application/json", HTTP_HOST=site.host
    )
    assert answer.status_code == 200 and answer.json()["enabled"] is True
    assert Registration.objects.values().get(organisation=site.organisation) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"enabled": False}, 409, "relay_machine_owned"),
        ({"server_url": "wss://mine.example.test"}, 409, "relay_machine_owned"),
        ({"instance_secret": "s3cret"}, 409, "relay_machine_owned"),
        ({"enabled": "yes"}, 400, "invalid_request"),
        ({"enabled": None}, 400, "invalid_request"),
        ({"server_url": 5}, 400, "invalid_request"),
        ({"identity_public_key": "x"}, 400, "invalid_request"),
    ],
)
def test_registration_is_machine_owned(site: Site, body: Any, status: int, code: str) -> None:
    answer = site.owner.at(site.host).put(
        SETTINGS, body, content_type="application/json", HTTP_HOST=site.host
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "s3cret" not in answer.content.decode()


def test_viewer_reads_and_does_not_write(site: Site) -> None:
    viewer = site.member(add_member(site.organisation, MemberRole.VIEWER))
    assert viewer.get(SETTINGS, site.host).status_code == 200
    put = viewer.at(site.host).put(
        SETTINGS, {}, content_type="application/json", HTTP_HOST=site.host
    )
    assert put.status_code == 403


@pytest.mark.parametrize("path", ALL)
def test_needs_the_relay_capability(site: Site, path: str) -> None:
    BillingState.objects.filter(organisation=site.organisation).update(capabilities=["rbac"])
    answer = site.ask(path)
    assert answer.status_code == 402
    assert answer.json()["error"] == "license_required"
    assert answer.json()["feature"] == "relay"


@pytest.mark.parametrize("path", ALL)
def test_needs_a_running_subscription(site: Site, path: str) -> None:
    BillingState.objects.filter(organisation=site.organisation).update(
        subscription_state=Subscription.CANCELED
    )
    assert site.ask(path).json()["error"] == "subscription_required"


@pytest.mark.parametrize("path", ALL)
def test_strangers_and_other_organisations_are_kept_out(site: Site, path: str) -> None:
    other = make_organisation()
    foreign = site.member(owner_of(other))
    assert foreign.get(path, site.host).status_code == 403
    assert call(other.instance_host, path, token=site.tenant.token).status_code == 401
    anonymous = call(site.host, path)
    unknown = call("nobody-here.localhost", path)
    assert anonymous.status_code == unknown.status_code == 401
    assert anonymous.content == unknown.content
    assert site.member(make_user()).get(path, site.host).status_code == 403


def test_suspended_organisation_says_403_so_that_phones_stay_paired(site: Site) -> None:
    put_in_state(site.organisation, State.SUSPENDED)
    for path in ALL:
        answer = site.ask(path)
        assert (answer.status_code, answer.json()["error"]) == (403, "org_suspended")


def test_hosted_mode_off_is_a_plain_404(site: Site, settings: Any) -> None:
    settings.HOSTED_MODE = False
    for path in ALL:
        answer = site.ask(path)
        assert answer.status_code == 404 and answer["Content-Type"].startswith("text/plain")


def test_phone_may_not_read_the_settings(site: Site) -> None:
    assert site.ask(SETTINGS).status_code == 403
