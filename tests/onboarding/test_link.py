"""The QR code and its link (relay-protocol section 20)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from relay import onboarding
from relay.models import Registration, RelayStatus
from relay.wire import pairing
from relay.wire.pairing import Pairing
from tenants.models import Organisation, Runtime
from tests.onboarding.conftest import Site
from tests.vectors import load


def test_link_is_byte_for_byte_the_published_one() -> None:
    vector = load()["onboarding"]
    parts = {name: values[0] for name, values in vector["fields"].items() if name != "schema"}
    assert Pairing(**parts).link() == vector["deep_link"]


@pytest.mark.covers("F78")
def test_qr_holds_what_a_phone_needs(site: Site) -> None:
    answer = site.ask("/api/onboarding/qr")
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert body == {
        "schema": "pulse-mobile-onboarding-v1",
        "instance_url": f"https://{site.host}:8443",
        "instance_id": site.registration.instance_id,
        "relay": {
            "enabled": True,
            "url": "wss://relay.example.test/ws/app",
            "identity_fingerprint": site.registration.identity_fingerprint,
            "identity_public_key": site.registration.identity_public_key,
        },
        "auth_token": site.tenant.token,
        "deep_link": body["deep_link"],
        "diagnostics": [],
    }
    read = pairing.parse(body["deep_link"])
    assert read.auth_token == site.tenant.token
    assert read.instance_id == site.registration.instance_id
    names = [name for name, _ in parse_qsl(body["deep_link"].partition("?")[2])]
    assert names == sorted(names) and "schema" in names


def test_deep_link_and_picture_are_those_of_the_qr(site: Site) -> None:
    link = site.ask("/api/onboarding/qr").json()["deep_link"]
    assert site.ask("/api/onboarding/deep-link").json() == {"url": link, "diagnostics": []}
    picture = site.ask("/api/onboarding/qr.svg")
    assert picture.status_code == 200 and picture["Cache-Control"] == "no-store"
    assert picture["Content-Type"] == "image/svg+xml"
    assert picture.content == onboarding.svg(link)
    drawn = re.sub(r'xmlns="[^"]+"', "", picture.content.decode())
    assert drawn.startswith("<svg") and "<script" not in drawn and "http://" not in drawn


def test_bearer_token_works_as_well_and_a_query_parameter_never(site: Site) -> None:
    path, client = "/api/onboarding/qr", site.owner.at(site.host)
    bearer = f"Bearer {site.tenant.token}"
    assert client.get(path, HTTP_HOST=site.host, HTTP_AUTHORIZATION=bearer).status_code == 200
    query = client.get(f"{path}?token={site.tenant.token}", HTTP_HOST=site.host)
    assert query.status_code == 409  # signed in, but no token in a header
    assert codes(query) == ["auth_token_missing"]


def codes(answer: Any) -> list[str]:
    return [d["code"] for d in answer.json()["diagnostics"]]


def test_without_https_the_address_is_left_out_with_a_warning(site: Site, settings: Any) -> None:
    settings.PUBLIC_URL = "http://localhost:8000"
    body = site.ask("/api/onboarding/qr").json()
    assert "instance_url" not in body and "instance_url" not in body["deep_link"]
    (warning,) = body["diagnostics"]
    assert (warning["code"], warning["severity"]) == ("instance_url_not_https", "warning")


def test_disconnected_now_is_a_warning_and_never_connected_an_error(site: Site) -> None:
    site.say(connected=False)
    body = site.ask("/api/onboarding/qr").json()
    (warning,) = body["diagnostics"]
    assert (warning["code"], warning["severity"]) == ("relay_registration_unavailable", "warning")
    site.say(connected=False, connected_at=None)
    not_ready(site, "relay_registration_unavailable")


def not_ready(site: Site, *wanted: str) -> None:
    for path in ("/api/onboarding/qr", "/api/onboarding/deep-link"):
        answer = site.ask(path)
        assert answer.status_code == 409
        body = answer.json()
        assert body["code"] == "onboarding_not_ready" and body["error"] and body["message"]
        found = [d["code"] for d in body["diagnostics"] if d["severity"] == "error"]
        assert found == list(wanted)


@pytest.mark.covers("F77")
def test_organisation_without_registration_is_not_ready(site: Site) -> None:
    RelayStatus.objects.filter(organisation=site.organisation).delete()
    Registration.objects.filter(organisation=site.organisation).delete()
    not_ready(site, "relay_registration_unavailable", "instance_id_missing")


def test_external_runtime_pairs_its_own_phones(site: Site) -> None:
    Organisation.objects.filter(pk=site.organisation.pk).update(runtime=Runtime.EXTERNAL)
    not_ready(site, "relay_disabled")


@pytest.mark.parametrize(
    ("url", "code"), [("", "relay_url_missing"), ("https://relay.test", "relay_url_invalid")]
)
def test_relay_address_must_be_usable(site: Site, settings: Any, url: str, code: str) -> None:
    settings.RELAY_PUBLIC_URL = url
    not_ready(site, code)


@pytest.mark.parametrize(
    ("configured", "app"),
    [
        ("WSS://Relay.Example.test/ws/instance", "wss://relay.example.test/ws/app"),
        ("ws://192.168.0.5:8001/", "ws://192.168.0.5:8001/ws/app"),
        ("wss://relay.example.test/own/path/", "wss://relay.example.test/own/path"),
    ],
)
def test_app_address_follows_from_the_relay_address(
    site: Site, settings: Any, configured: str, app: str
) -> None:
    settings.RELAY_PUBLIC_URL = configured
    assert site.ask("/api/onboarding/qr").json()["relay"]["url"] == app
