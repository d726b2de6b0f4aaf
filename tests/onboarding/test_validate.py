"""POST /api/onboarding/validate and its diagnostics (relay-protocol section 20)."""

from __future__ import annotations

from typing import Any

import pytest

from audit.actors import Actor
from rbac import tokens
from tests.factories import owner_of
from tests.onboarding.conftest import Site


def judged(site: Site, **changes: Any) -> tuple[bool, dict[str, str]]:
    """success, and {code: severity}."""
    body = {
        "instance_id": site.registration.instance_id,
        "relay_url": "wss://relay.example.test/ws/app",
        "auth_token": site.tenant.token,
        **changes,
    }
    answer = site.ask("/api/onboarding/validate", method="POST", body=body)
    assert answer.status_code == 200, answer.content
    found = answer.json()
    return found["success"], {d["code"]: d["severity"] for d in found["diagnostics"]}


def test_good_code_passes(site: Site) -> None:
    assert judged(site) == (True, {})


def test_address_may_be_written_differently(site: Site) -> None:
    assert judged(site, relay_url="WSS://Relay.Example.Test/ws/instance")[0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instance_id": ""}, "instance_id_missing"),
        ({"instance_id": "relay_0123456789abcdef"}, "instance_id_mismatch"),
        ({"relay_url": ""}, "relay_url_missing"),
        ({"relay_url": "https://relay.example.test"}, "relay_url_invalid"),
        ({"relay_url": "wss://u:p@relay.example.test"}, "relay_url_invalid"),
        ({"relay_url": "wss://relay.example.test:0/"}, "relay_url_invalid"),
        ({"relay_url": "wss://other.example.test/ws/app"}, "relay_url_mismatch"),
        ({"auth_token": ""}, "auth_token_missing"),
        ({"auth_token": "0" * 64}, "auth_token_invalid"),
        ({"auth_token": "not a token"}, "auth_token_invalid"),
    ],
)
def test_wrong_part_is_named(site: Site, changes: dict[str, str], code: str) -> None:
    assert judged(site, **changes) == (False, {code: "error"})


def test_mismatch_says_what_was_expected(site: Site) -> None:
    answer = site.ask(
        "/api/onboarding/validate",
        method="POST",
        body={
            "instance_id": "relay_0123456789abcdef",
            "relay_url": "wss://other.example.test",
            "auth_token": "f" * 64,
        },
    )
    by_code = {d["code"]: d for d in answer.json()["diagnostics"]}
    mismatch = by_code["instance_id_mismatch"]
    assert mismatch["field"] == "instance_id"
    assert mismatch["expected"] == site.registration.instance_id
    assert mismatch["received"] == "relay_0123456789abcdef"
    assert by_code["relay_url_mismatch"]["expected"] == "wss://relay.example.test/ws/app"
    assert "f" * 64 not in answer.content.decode()  # a token is never quoted


def test_id_cannot_be_verified_before_the_relay_confirmed_it(site: Site) -> None:
    site.say(connected=False, connected_at=None)
    success, found = judged(site, instance_id="relay_0123456789abcdef")
    assert not success
    assert found == {
        "relay_registration_unavailable": "error",
        "instance_id_unverifiable": "warning",
    }


def test_token_that_is_no_phones_is_invalid(site: Site) -> None:
    _, secret = tokens.issue(
        site.organisation,
        user=owner_of(site.organisation),
        name="A script",
        scopes=["settings:read"],
        actor=Actor.system("test"),
    )
    assert judged(site, auth_token=secret) == (False, {"auth_token_invalid": "error"})


def test_plain_http_is_a_warning(site: Site, settings: Any) -> None:
    settings.PUBLIC_URL = "http://localhost:8000"
    assert judged(site) == (True, {"instance_url_not_https": "warning"})


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"x"',
        {"instance_id": "a", "extra": 1},
        {"instance_id": 5},
        {"relay_url": ["x"]},
        {"auth_token": None, "instance_id": "a\x00"},
        '{"instance_id": "\\ud800"}',
        {"instance_id": "x" * 201},
        "[" * 10000,
    ],
)
def test_malformed_body_is_400(site: Site, body: Any) -> None:
    answer = site.ask("/api/onboarding/validate", method="POST", body=body)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_json", "invalid_request")
    assert answer.json()["status_code"] == 400


def test_oversize_body_is_413(site: Site) -> None:
    big = '{"instance_id": "%s"}' % ("x" * 70_000)
    assert site.ask("/api/onboarding/validate", method="POST", body=big).status_code == 413


def test_missing_parts_are_diagnosed(site: Site) -> None:
    answer = site.ask("/api/onboarding/validate", method="POST", body={})
    assert [d["code"] for d in answer.json()["diagnostics"]] == [
        "instance_id_missing",
        "relay_url_missing",
        "auth_token_missing",
    ]
