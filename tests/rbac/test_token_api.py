"""Minting a phone's token and revoking it, over HTTP."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Event
from rbac.models import ApiToken
from tenants.models import MemberRole, Organisation
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, owner_of, sign_in

pytestmark = pytest.mark.django_db
MINT = "/api/security/tokens/relay-mobile"


def call(organisation: Organisation, secret: str, method: str, path: str, body: Any = b"") -> Any:
    return Client().generic(
        method,
        path,
        body if isinstance(body, bytes) else json.dumps(body),
        content_type="application/json",
        HTTP_HOST=organisation.instance_host,
        HTTP_X_API_TOKEN=secret,
    )


def test_mints_a_token_that_pairs() -> None:
    organisation = make_organisation()
    answer = call(organisation, make_token(organisation), "POST", MINT, {"name": "Ann's phone"})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"token", "record"}
    record = body["record"]
    assert record["name"] == "Ann's phone"
    assert record["scopes"] == ["relay:mobile:access"]
    assert record["metadata"] == {"purpose": "relay_mobile_access"}
    assert record["prefix"] == body["token"][:8]
    assert "hash" not in str(record).lower()
    assert call(organisation, body["token"], "GET", "/api/organisation").status_code == 200


def test_the_token_is_the_callers_own_and_dies_unused() -> None:
    organisation = make_organisation()
    admin = add_member(organisation, MemberRole.ADMIN)
    answer = call(organisation, make_token(organisation, user=admin), "POST", MINT)
    with in_schema(organisation):
        token = ApiToken.objects.get(pk=answer.json()["record"]["id"])
    assert token.user == admin.pk
    assert token.unused_expires_at is not None
    left = token.unused_expires_at - timezone.now()
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    with in_schema(organisation):
        ApiToken.objects.filter(pk=token.pk).update(unused_expires_at=timezone.now())
    answer = call(organisation, answer.json()["token"], "GET", "/api/organisation")
    assert answer.status_code == 401


def test_is_in_the_audit_trail_with_who_did_it() -> None:
    organisation = make_organisation()
    client = Client()
    owner = owner_of(organisation)
    sign_in(client, owner, organisation)
    answer = client.post(
        MINT, "{}", content_type="application/json", HTTP_HOST=organisation.instance_host
    )
    made = answer.json()
    event = Event.objects.get(subject=f"token {made['record']['id']}")
    assert event.request_id == answer["X-Request-Id"]
    assert (event.action, event.actor_kind, event.actor_id) == (
        "token_issued",
        "person",
        str(owner.pk),
    )
    assert made["token"] not in str(Event.objects.filter(pk=event.pk).values())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"NaN", "invalid_json"),
        (b'{"name": NaN}', "invalid_json"),
        (b"[" * 30000, "invalid_json"),
        (b"[]", "invalid_request"),
        (b"null", "invalid_request"),
        (b'"text"', "invalid_request"),
        (b"7", "invalid_request"),
        (b'{"name": 7}', "invalid_request"),
        (b'{"name": ["x"]}', "invalid_request"),
        (b'{"name": "a\\u0000b"}', "invalid_request"),
        (b'{"name": "a\\ud800b"}', "invalid_request"),
        (b'{"a\\u0000b": 1}', "invalid_request"),
        (json.dumps({"name": "x" * 121}).encode(), "invalid_request"),
    ],
)
def test_bad_bodies_get_the_contracts_answer(body: bytes, code: str) -> None:
    organisation = make_organisation()
    answer = call(organisation, make_token(organisation), "POST", MINT, body)
    assert answer.status_code == 400
    said = answer.json()
    assert said["code"] == code
    assert said["status_code"] == 400
    assert set(said) == {"error", "code", "status_code", "timestamp"}


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"other": true}', b'{"name": null}'])
def test_the_name_is_optional(body: bytes) -> None:
    organisation = make_organisation()
    answer = call(organisation, make_token(organisation), "POST", MINT, body)
    assert answer.json()["record"]["name"] == "Paired phone"


def test_a_body_over_64_kib_is_refused() -> None:
    organisation = make_organisation()
    body = json.dumps({"name": "x" * 65536}).encode()
    answer = call(organisation, make_token(organisation), "POST", MINT, body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_form_is_refused() -> None:
    organisation = make_organisation()
    answer = Client().post(
        MINT,
        {"name": "x"},
        HTTP_HOST=organisation.instance_host,
        HTTP_X_API_TOKEN=make_token(organisation),
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_revoking_shuts_the_phone_out_at_once() -> None:
    organisation = make_organisation()
    secret = make_token(organisation)
    made = call(organisation, secret, "POST", MINT).json()
    path = f"/api/security/tokens/{made['record']['id']}"
    assert call(organisation, made["token"], "GET", "/api/organisation").status_code == 200
    answer = call(organisation, secret, "DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert call(organisation, made["token"], "GET", "/api/organisation").status_code == 401
    assert call(organisation, secret, "DELETE", path).status_code == 204


def test_a_token_of_another_organisation_is_not_there() -> None:
    mine, other = make_organisation(), make_organisation()
    made = call(other, make_token(other), "POST", MINT).json()
    for token_id in (made["record"]["id"], str(uuid.uuid4())):
        path = f"/api/security/tokens/{token_id}"
        answer = call(mine, make_token(mine), "DELETE", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert call(other, made["token"], "GET", "/api/organisation").status_code == 200


@pytest.mark.parametrize("role", [MemberRole.EDITOR, MemberRole.VIEWER])
def test_only_administrators_mint_and_revoke(role: str) -> None:
    organisation = make_organisation()
    secret = make_token(organisation, user=add_member(organisation, role))
    made = call(organisation, make_token(organisation), "POST", MINT).json()
    assert call(organisation, secret, "POST", MINT).status_code == 403
    path = f"/api/security/tokens/{made['record']['id']}"
    assert call(organisation, secret, "DELETE", path).status_code == 403
