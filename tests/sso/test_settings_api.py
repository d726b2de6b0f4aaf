"""The settings through the API (hosted-contract 11.1)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from tenants.models import Organisation, SsoIdentity, SsoProvider
from tests.factories import add_member, make_organisation, make_token, owner_of, sign_in
from tests.sso.idp import CLIENT, Idp
from tests.sso.people import make_provider

pytestmark = pytest.mark.django_db
BASE = "/api/security/sso/providers"


class Caller:
    """A signed-in person who sends JSON to an organisation's host."""

    def __init__(self, organisation: Organisation, user: Any = None, *, fresh: bool = True) -> None:
        self.host = organisation.instance_host
        self.client = Client()
        sign_in(self.client, user or owner_of(organisation), organisation)
        if not fresh:
            session = self.client.session
            session["_signed_in_at"] = time.time() - 3600
            session.save()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = "" if body is None else json.dumps(body)
        return self.client.generic(
            method, BASE + path, data, "application/json", HTTP_HOST=self.host, headers=headers
        )


@pytest.fixture
def owner(organisation: Organisation) -> Caller:
    return Caller(organisation)


def settings_of(idp: Idp, **more: Any) -> dict[str, Any]:
    return {
        "id": "work",
        "name": "Work login",
        "issuerUrl": idp.issuer,
        "clientId": CLIENT[0],
        "clientSecret": CLIENT[1],
        **more,
    }


def test_create_read_change_delete(owner: Caller, idp: Idp, organisation: Organisation) -> None:
    made = owner("POST", "", settings_of(idp, enabled=True, scopes=["groups", "email"]))
    assert made.status_code == 201
    body = made.json()
    assert body["enabled"] is True and body["type"] == "oidc"
    assert body["scopes"] == ["openid", "groups", "email"]
    assert body["redirectUrl"] == f"http://{organisation.instance_host}:8000/sso/work/callback"
    assert body["clientSecretSet"] is True
    assert CLIENT[1] not in made.content.decode()
    listed = owner("GET", "")
    assert [p["id"] for p in listed.json()] == ["work"]
    assert owner("GET", "/work").json() == body
    changed = owner("PUT", "/work", {"name": "New", "clientSecret": ""})
    assert (changed.status_code, changed.json()["name"]) == (200, "New")
    assert changed.json()["clientSecretSet"] is True
    assert owner("DELETE", "/work").status_code == 204
    assert owner("GET", "/work").status_code == 404
    trail = Event.objects.filter(organisation=organisation.pk, action__startswith="sso_provider_")
    actions = list(trail.order_by("pk").values_list("action", flat=True))
    assert actions == ["sso_provider_created", "sso_provider_updated", "sso_provider_updated",
                       "sso_provider_deleted"]  # fmt: skip
    assert CLIENT[1] not in str(list(trail.values()))


def test_the_secret_is_sealed_for_its_organisation(owner: Caller, idp: Idp) -> None:
    from rbac.sso import providers
    from tenants.sealing import SealError

    owner("POST", "", settings_of(idp))
    row = SsoProvider.objects.get(slug="work")
    assert row.client_secret_sealed is not None
    assert CLIENT[1].encode() not in bytes(row.client_secret_sealed)
    assert providers.secret_of(row) == CLIENT[1]
    row.organisation = make_organisation()
    with pytest.raises(SealError):
        providers.secret_of(row)


def test_another_issuer_is_never_sent_the_stored_secret(owner: Caller, idp: Idp) -> None:
    owner("POST", "", settings_of(idp, enabled=True))
    elsewhere = {"issuerUrl": "https://collector.example"}
    refused = owner("PUT", "/work", elsewhere)
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_error")
    moved = owner("PUT", "/work", {**elsewhere, "clientSecret": "the other's"})
    assert (moved.status_code, moved.json()["enabled"]) == (200, False)


INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("no-id", {"id": None}, "missing_id"),
    ("blank-id", {"id": " "}, "missing_id"),
    ("odd-id", {"id": "a b"}, "invalid_id"),
    ("long-id", {"id": "a" * 65}, "invalid_id"),
    ("dash-first", {"id": "-a"}, "invalid_id"),
    ("reserved-id", {"id": "Settings"}, "invalid_id"),
    ("no-name", {"name": ""}, "validation_error"),
    ("long-name", {"name": "n" * 129}, "validation_error"),
    ("number-name", {"name": 7}, "validation_error"),
    ("saml", {"type": "saml"}, "validation_error"),
    ("http-issuer", {"issuerUrl": "ftp://example.com"}, "validation_error"),
    ("no-issuer", {"issuerUrl": None}, "validation_error"),
    ("long-issuer", {"issuerUrl": "https://example.com/" + "a" * 2048}, "validation_error"),
    ("query-issuer", {"issuerUrl": "https://example.com/?a=b"}, "validation_error"),
    ("script-issuer", {"issuerUrl": "javascript:alert(1)"}, "validation_error"),
    ("no-client", {"clientId": ""}, "validation_error"),
    ("odd-scope", {"scopes": ["a b"]}, "validation_error"),
    ("scopes-number", {"scopes": 7}, "validation_error"),
    ("odd-claim", {"groupsClaim": "a b"}, "validation_error"),
    ("no-email-claim", {"emailClaim": ""}, "validation_error"),
    ("domains-text", {"allowedDomains": "example.com"}, "validation_error"),
    ("odd-domain", {"allowedDomains": ["exa mple"]}, "validation_error"),
    ("odd-email", {"allowedEmails": ["ann"]}, "validation_error"),
    ("many-groups", {"allowedGroups": [f"g{n}" for n in range(201)]}, "validation_error"),
    ("owner-role", {"defaultRole": "owner"}, "validation_error"),
    ("odd-role", {"defaultRole": "root"}, "validation_error"),
    ("no-hours", {"sessionHours": 0}, "validation_error"),
    ("endless-hours", {"sessionHours": 25}, "validation_error"),
    ("true-hours", {"sessionHours": True}, "validation_error"),
    ("enabled-text", {"enabled": "yes"}, "validation_error"),
    ("unknown-field", {"idpMetadataXml": "<x/>"}, "invalid_request"),
]


@pytest.mark.parametrize(("change", "code"), [i[1:] for i in INVALID], ids=[i[0] for i in INVALID])
def test_what_is_refused(owner: Caller, idp: Idp, change: dict[str, Any], code: str) -> None:
    answer = owner("POST", "", settings_of(idp, **change))
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not SsoProvider.objects.filter(slug="work").exists()


def test_an_id_is_taken_once(owner: Caller, idp: Idp) -> None:
    assert owner("POST", "", settings_of(idp)).status_code == 201
    twice = owner("POST", "", settings_of(idp, id="WORK"))
    assert (twice.status_code, twice.json()["code"]) == (409, "duplicate_id")
    other = Caller(make_organisation())
    assert other("POST", "", settings_of(idp)).status_code == 201


def test_switching_on_what_does_not_answer(owner: Caller, idp: Idp) -> None:
    idp.answers["/jwks"] = lambda: (404, {}, b"")
    made = owner("POST", "", settings_of(idp, enabled=True))
    assert (made.status_code, made.json()["code"]) == (400, "discovery_failed")
    assert owner("GET", "/work").json()["enabled"] is False
    tried = owner("POST", "/work/test")
    assert tried.json()["code"] == "discovery_failed"
    del idp.answers["/jwks"]
    assert owner("POST", "/work/test").json()["issuer"] == idp.issuer
    assert owner("PUT", "/work", {"enabled": True}).json()["enabled"] is True


def test_no_update_is_lost(owner: Caller, idp: Idp) -> None:
    tag = owner("POST", "", settings_of(idp)).headers["ETag"]
    assert owner("PUT", "/work", {"name": "One"}, **{"If-Match": tag}).status_code == 200
    late = owner("PUT", "/work", {"name": "Two"}, **{"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    assert owner("DELETE", "/work", **{"If-Match": tag}).status_code == 412
    tag = owner("GET", "/work/mappings").headers["ETag"]
    mapping = {"groupRoleMappings": {"Ops": "operator"}}
    assert owner("PUT", "/work/mappings", mapping, **{"If-Match": tag}).status_code == 200
    assert owner("PUT", "/work/mappings", mapping, **{"If-Match": tag}).status_code == 412


def test_mappings(owner: Caller, idp: Idp) -> None:
    owner("POST", "", settings_of(idp))
    put = owner("PUT", "/work/mappings", {"groupRoleMappings": {" Ops ": "operator", "B": "admin"}})
    assert put.json() == {"groupRoleMappings": {"b": "admin", "ops": "operator"}}
    assert owner("GET", "/work").json()["groupRoleMappings"] == put.json()["groupRoleMappings"]
    assert owner("GET", "/work/mappings").json() == put.json()
    for wrong in (
        {"groupRoleMappings": ["a"]}, {"groupRoleMappings": {"a": "nope"}}, {},
        {"groupRoleMappings": {"": "admin"}}, {"groupRoleMappings": {"a": 7}},
        {"groupRoleMappings": {"Ops": "admin", "ops": "viewer"}},
        {"groupRoleMappings": {"a" * 256: "admin"}},
    ):  # fmt: skip
        refused = owner("PUT", "/work/mappings", wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "validation_error"), wrong
    assert owner("GET", "/work/mappings").json() == put.json()


def test_changes_take_a_fresh_session(owner: Caller, idp: Idp, organisation: Organisation) -> None:
    owner("POST", "", settings_of(idp))
    stale = Caller(organisation, fresh=False)
    assert stale("GET", "/work").status_code == 200
    changes = [("POST", ""), ("PUT", "/work"), ("DELETE", "/work"), ("POST", "/work/test"),
               ("PUT", "/work/mappings")]  # fmt: skip
    for method, path in changes:
        refused = stale(method, path, {})
        assert (refused.status_code, refused.json()["error"]) == (401, "fresh_session_required")
    token = make_token(organisation)
    for method, path in changes:
        refused = Client().generic(
            method,
            BASE + path,
            "{}",
            "application/json",
            HTTP_HOST=organisation.instance_host,
            headers={"X-API-Token": token},
        )
        assert (refused.status_code, refused.json()["error"]) == (403, "session_required")


def test_another_organisation_sees_and_changes_nothing(
    owner: Caller, idp: Idp, organisation: Organisation
) -> None:
    owner("POST", "", settings_of(idp))
    other = Caller(make_organisation())
    assert other("GET", "").json() == []
    for method, path in (("GET", "/work"), ("PUT", "/work"), ("DELETE", "/work"),
                         ("POST", "/work/test"), ("GET", "/work/mappings")):  # fmt: skip
        assert other(method, path, {}).status_code == 404
    trespasser = Caller(organisation, owner_of(make_organisation()))
    assert trespasser("GET", "").status_code == 403


def test_who_may_not_administer_people_may_only_read(
    owner: Caller, idp: Idp, organisation: Organisation
) -> None:
    owner("POST", "", settings_of(idp))
    viewer = Caller(organisation, add_member(organisation, "viewer"))
    assert viewer("GET", "").status_code == 200
    assert viewer("PUT", "/work", {"name": "x"}).status_code == 403
    assert viewer("PUT", "/work/mappings", {"groupRoleMappings": {}}).status_code == 403


def test_the_only_way_in_stays_while_it_is_required(
    owner: Caller, idp: Idp, organisation: Organisation
) -> None:
    make_provider(organisation, idp)
    Organisation.objects.filter(pk=organisation.pk).update(sso_required=True)
    for method, body in (("DELETE", None), ("PUT", {"enabled": False})):
        refused = owner(method, "/work", body)
        assert (refused.status_code, refused.json()["code"]) == (409, "last_provider_required")
    make_provider(organisation, idp, "other")
    assert owner("DELETE", "/work").status_code == 204


def test_deleting_a_provider_keeps_its_people(
    owner: Caller, idp: Idp, organisation: Organisation
) -> None:
    from tests.accounts.browsing import Visitor
    from tests.sso.people import comes

    comes(Visitor(), make_provider(organisation, idp), idp)
    owner("DELETE", "/work")
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert identity.provider is None
    assert organisation.memberships.filter(user=identity.user).exists()
    again = make_provider(organisation, idp, "again")
    comes(Visitor(), again, idp)
    assert SsoIdentity.objects.get(organisation=organisation).provider == again


def test_lists_cost_the_same_however_long(
    owner: Caller, idp: Idp, organisation: Organisation, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    owner("POST", "", settings_of(idp))
    owner("GET", "")
    with CaptureQueriesContext(connection) as one:
        owner("GET", "")
    for n in range(4):
        owner("POST", "", settings_of(idp, id=f"p{n}"))
    with CaptureQueriesContext(connection) as more:
        assert len(owner("GET", "").json()) == 5
    assert len(one) == len(more)
