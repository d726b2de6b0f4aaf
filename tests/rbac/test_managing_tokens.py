"""Listing, making, renaming and revoking API tokens and phones, over HTTP."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from rbac import mobile, token_owners, tokens
from rbac.models import ApiToken, Assignment
from tenants import versions
from tenants.models import MemberRole, Organisation, User
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, owner_of, sign_in

pytestmark = pytest.mark.django_db
TOKENS, DEVICES = "/api/security/tokens", "/api/security/devices"


class Caller:
    """A person signed in on an organisation's host."""

    def __init__(self, organisation: Organisation, user: User) -> None:
        self.organisation, self.user = organisation, user
        self.client = Client(headers={"host": organisation.instance_host})
        sign_in(self.client, user, organisation)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            path,
            b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers=headers,
        )

    def made(self, **body: Any) -> dict[str, Any]:
        wanted = {"name": "script", "scopes": ["settings:read"]} | body
        answer = self("POST", TOKENS, wanted)
        assert answer.status_code == 201, answer.content
        said: dict[str, Any] = answer.json()
        return said

    def phone(self, name: str = "phone") -> ApiToken:
        token, _ = tokens.issue(
            self.organisation,
            user=self.user,
            name=name,
            scopes=[mobile.SCOPE],
            purpose=mobile.PURPOSE,
            actor=Actor.system("test"),
        )
        return token


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


@pytest.fixture
def owner(organisation: Organisation) -> Caller:
    return Caller(organisation, owner_of(organisation))


@pytest.fixture
def viewer(organisation: Organisation) -> Caller:
    return Caller(organisation, add_member(organisation, MemberRole.VIEWER))


def by_token(
    organisation: Organisation, secret: str, method: str, path: str, body: Any = ""
) -> Any:
    return Client().generic(
        method,
        path,
        json.dumps(body) if body else "",
        content_type="application/json",
        headers={"host": organisation.instance_host, "x-api-token": secret},
    )


class TestMake:
    def test_shows_the_secret_once(self, owner: Caller) -> None:
        answer = owner(
            "POST", TOKENS, {"name": " Report ", "scopes": ["settings:read"], "expiresInDays": 90}
        )
        assert answer.status_code == 201
        assert "no-store" in answer["Cache-Control"]
        made = answer.json()
        record = made["record"]
        assert len(made["token"]) == 64 and record["prefix"] == made["token"][:8]
        assert record["name"] == "Report" and record["userId"] == str(owner.user.pk)
        assert record["scopes"] == ["settings:read"] and record["metadata"] == {}
        assert record["expiresAt"][:10] == f"{timezone.now() + timedelta(days=90):%Y-%m-%d}"
        again = owner("GET", f"{TOKENS}/{record['id']}")
        assert again.json() == record and made["token"] not in again.content.decode()
        assert (
            by_token(owner.organisation, made["token"], "GET", "/api/organisation").status_code
            == 200
        )

    def test_without_expiry_it_lives_until_revoked(self, owner: Caller) -> None:
        assert owner.made()["record"]["expiresAt"] is None

    def test_takes_a_person_and_no_token(self, owner: Caller) -> None:
        secret = make_token(owner.organisation)
        body = {"name": "x", "scopes": ["settings:read"]}
        answer = by_token(owner.organisation, secret, "POST", TOKENS, body)
        assert (answer.status_code, answer.json()["error"]) == (403, "session_required")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"scopes": ["settings:read"]}, "invalid_request"),
            ({"name": "x" * 121, "scopes": ["settings:read"]}, "invalid_request"),
            ({"name": "x", "scopes": ["settings:read"], "user": "y"}, "invalid_request"),
            ({"name": "x"}, "invalid_scopes"),
            ({"name": "x", "scopes": []}, "invalid_scopes"),
            ({"name": "x", "scopes": "settings:read"}, "invalid_scopes"),
            ({"name": "x", "scopes": [["settings:read"]]}, "invalid_scopes"),
            ({"name": "x", "scopes": ["settings:admin"]}, "invalid_scopes"),
            ({"name": "x", "scopes": ["relay:mobile:access"]}, "invalid_scopes"),
            ({"name": "x", "scopes": ["*"], "expiresInDays": 0}, "invalid_expiry"),
            ({"name": "x", "scopes": ["*"], "expiresInDays": 366}, "invalid_expiry"),
            ({"name": "x", "scopes": ["*"], "expiresInDays": True}, "invalid_expiry"),
            ({"name": "x", "scopes": ["*"], "expiresInDays": "90"}, "invalid_expiry"),
        ],
    )
    def test_says_what_is_wrong(self, owner: Caller, body: Any, code: str) -> None:
        answer = owner("POST", TOKENS, body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        with in_schema(owner.organisation):
            assert not ApiToken.objects.exists()

    @pytest.mark.parametrize("scope", ["settings:write", "*"])
    def test_gives_no_more_than_its_maker_has(self, viewer: Caller, scope: str) -> None:
        body = {"name": "x", "scopes": ["settings:read", scope]}
        answer = viewer("POST", TOKENS, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "escalation_denied")
        assert answer.json()["scope"] == scope
        with in_schema(viewer.organisation):
            assert not ApiToken.objects.exists()
        event = Event.objects.get(action="token_issue_denied", organisation=viewer.organisation.pk)
        assert not event.success and event.actor_id == str(viewer.user.pk)

    def test_what_the_maker_loses_the_token_loses(self, owner: Caller) -> None:
        """Both are asked at every request: the token's scope and its person."""
        admin = Caller(owner.organisation, add_member(owner.organisation, MemberRole.ADMIN))
        secret = admin.made(scopes=["settings:write", "settings:read"])["token"]
        mint = f"{TOKENS}/relay-mobile"
        assert by_token(owner.organisation, secret, "POST", mint).status_code == 200
        with in_schema(owner.organisation):
            Assignment.objects.filter(user=admin.user.pk).update(role_id="viewer")
        versions.move_on(owner.organisation.pk)
        answer = by_token(owner.organisation, secret, "POST", mint)
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
        assert by_token(owner.organisation, secret, "GET", "/api/organisation").status_code == 200

    def test_there_is_a_most_per_person(
        self, owner: Caller, viewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "PER_PERSON", 2)
        first, _ = owner.made(), owner.made()
        owner.phone()
        answer = owner("POST", TOKENS, {"name": "x", "scopes": ["settings:read"]})
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_tokens")
        viewer.made()
        owner("DELETE", f"{TOKENS}/{first['record']['id']}")
        owner.made()


class TestScopes:
    """hosted-contract section 5.3: 403 missing scope."""

    @pytest.mark.parametrize(
        ("held", "method", "path", "missing"),
        [
            ("settings:read", "GET", "/api/organisation", ""),
            ("settings:read", "GET", "/api/settings/relay", ""),
            ("settings:read", "GET", TOKENS, ""),
            ("settings:read", "POST", f"{TOKENS}/relay-mobile", "settings:write"),
            ("settings:read", "DELETE", f"{TOKENS}/{uuid.UUID(int=0)}", "settings:write"),
            ("settings:read", "PATCH", f"{DEVICES}/{uuid.UUID(int=0)}", "settings:write"),
            ("settings:write", "GET", "/api/organisation", "settings:read"),
            ("settings:write", "POST", f"{TOKENS}/relay-mobile", ""),
            ("audit:read", "GET", "/api/organisation", "settings:read"),
            ("unheard:of", "GET", "/api/organisation", "settings:read"),
        ],
    )
    def test_narrow(
        self, organisation: Organisation, held: str, method: str, path: str, missing: str
    ) -> None:
        answer = by_token(organisation, make_token(organisation, held), method, path)
        if missing:
            assert answer.status_code == 403
            said = answer.json()
            assert "missing_scope" in (said.get("error"), said.get("code"))
            assert answer.json()["requiredScope"] == missing
        else:
            assert answer.status_code == 200


class TestList:
    def test_shows_ones_own_newest_first(self, owner: Caller, viewer: Caller) -> None:
        first, second = owner.made(name="a"), owner.made(name="b")
        viewer.made()
        owner.phone()
        answer = owner("GET", TOKENS)
        assert answer.json() == [second["record"], first["record"]]
        assert answer["X-Total-Count"] == "2"

    def test_others_are_for_who_administers_people(self, owner: Caller, viewer: Caller) -> None:
        mine, theirs = owner.made()["record"], viewer.made()["record"]
        everybodys = owner("GET", f"{TOKENS}?user=all").json()
        assert {each["id"] for each in everybodys} == {mine["id"], theirs["id"]}
        one = f"{TOKENS}?user={viewer.user.pk}"
        assert owner("GET", one).json() == [theirs] == viewer("GET", one).json()
        for wanted in ("all", owner.user.pk, uuid.uuid4()):
            answer = viewer("GET", f"{TOKENS}?user={wanted}")
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
        assert owner("GET", f"{TOKENS}?user=x").json()["code"] == "invalid_user"

    def test_is_filtered_ordered_and_paged(self, owner: Caller) -> None:
        for name in ("beta", "alpha", "gamma"):
            owner.made(name=name)
        gone = owner.made(name="gone")["record"]
        owner("DELETE", f"{TOKENS}/{gone['id']}")

        def names(query: str) -> list[str]:
            return [each["name"] for each in owner("GET", f"{TOKENS}?{query}").json()]

        assert names("ordering=name") == ["alpha", "beta", "gamma"]
        assert names("ordering=-name&limit=1&offset=1") == ["beta"]
        assert names("name=ALPH") == ["alpha"]
        assert names("state=ended") == ["gone"]
        assert len(names("state=all")) == 4
        for query, code in (
            ("ordering=token_hash", "invalid_ordering"),
            ("state=x", "invalid_state"),
        ):
            answer = owner("GET", f"{TOKENS}?{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, code)

    def test_asks_as_many_queries_for_many_as_for_one(self, owner: Caller) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as asked:
                assert owner("GET", TOKENS).status_code == 200
                return len(asked.captured_queries)

        owner.made()
        queries()
        one = queries()
        for _ in range(10):
            owner.made()
        assert queries() == one > 0


class TestOne:
    def test_is_renamed_by_its_person(self, viewer: Caller) -> None:
        made = viewer.made()["record"]
        path = f"{TOKENS}/{made['id']}"
        tag = viewer("GET", path)["ETag"]
        answer = viewer("PATCH", path, {"name": "nightly"}, **{"if-match": tag})
        assert (answer.status_code, answer.json()["name"]) == (200, "nightly")
        assert answer["ETag"] == viewer("GET", path)["ETag"] != tag
        late = viewer("PATCH", path, {"name": "late"}, **{"if-match": tag})
        assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
        late = viewer("DELETE", path, **{"if-match": tag})
        assert late.status_code == 412
        event = Event.objects.get(action="token_renamed", organisation=viewer.organisation.pk)
        assert event.before == {"name": "script"} and (event.after or {})["name"] == "nightly"

    @pytest.mark.parametrize(("method", "body"), [("PATCH", {"name": "late"}), ("DELETE", None)])
    def test_a_change_between_the_look_and_the_lock_counts(
        self, owner: Caller, monkeypatch: pytest.MonkeyPatch, method: str, body: Any
    ) -> None:
        made = owner.made()["record"]
        path = f"{TOKENS}/{made['id']}"
        tag = owner("GET", path)["ETag"]
        reachable = token_owners.reachable

        def overtaken(*args: Any, **options: Any) -> ApiToken:
            token = reachable(*args, **options)
            ApiToken.objects.filter(pk=token.pk).update(name="faster")
            return token

        monkeypatch.setattr(token_owners, "reachable", overtaken)
        answer = owner(method, path, body, **{"if-match": tag})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        monkeypatch.undo()
        now = owner("GET", path).json()
        assert (now["name"], now["revokedAt"]) == ("faster", None)

    def test_use_does_not_move_its_tag(self, owner: Caller) -> None:
        made = owner.made()
        path = f"{TOKENS}/{made['record']['id']}"
        tag = owner("GET", path)["ETag"]
        by_token(owner.organisation, made["token"], "GET", "/api/organisation")
        again = owner("GET", path)
        assert again.json()["lastUsedAt"] and again["ETag"] == tag

    def test_anothers_is_for_who_administers_people(self, owner: Caller, viewer: Caller) -> None:
        mine, theirs = owner.made()["record"], viewer.made()
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            answer = viewer(method, f"{TOKENS}/{mine['id']}", body)
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
        path = f"{TOKENS}/{theirs['record']['id']}"
        assert owner("PATCH", path, {"name": "checked"}).status_code == 200
        assert owner("DELETE", path).status_code == 204
        assert owner("DELETE", path).status_code == 204
        assert (
            by_token(owner.organisation, theirs["token"], "GET", "/api/organisation").status_code
            == 401
        )

    def test_an_ended_one_keeps_its_name(self, owner: Caller) -> None:
        made = owner.made()["record"]
        owner("DELETE", f"{TOKENS}/{made['id']}")
        answer = owner("PATCH", f"{TOKENS}/{made['id']}", {"name": "x"})
        assert (answer.status_code, answer.json()["code"]) == (409, "token_ended")

    def test_of_another_organisation_is_not_there(self, owner: Caller) -> None:
        other = make_organisation(owner=owner.user)
        made = Caller(other, owner.user).made()["record"]
        for method in ("GET", "PATCH", "DELETE"):
            for path in (TOKENS, DEVICES):
                answer = owner(method, f"{path}/{made['id']}", {"name": "x"})
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestDevices:
    def test_are_the_phones(self, owner: Caller, viewer: Caller) -> None:
        owner.made()
        phone, theirs = owner.phone("Anna's"), viewer.phone()
        answer = owner("GET", DEVICES).json()
        assert [each["id"] for each in answer] == [str(phone.pk)]
        assert answer[0]["metadata"] == {"purpose": "relay_mobile_access"}
        everybodys = owner("GET", f"{DEVICES}?user=all&ordering=createdAt").json()
        assert [each["id"] for each in everybodys] == [str(phone.pk), str(theirs.pk)]

    def test_are_renamed_and_removed(self, viewer: Caller) -> None:
        phone = viewer.phone()
        path = f"{DEVICES}/{phone.pk}"
        assert viewer("PATCH", path, {"name": "Ann's"}).json()["name"] == "Ann's"
        assert viewer("GET", path)["ETag"]
        assert viewer("DELETE", path).status_code == 204
        assert viewer("GET", DEVICES).json() == []
        assert viewer("GET", f"{DEVICES}?state=ended").json()[0]["revokedAt"]

    def test_a_token_is_no_device(self, owner: Caller) -> None:
        made = owner.made()["record"]
        for method in ("GET", "PATCH", "DELETE"):
            answer = owner(method, f"{DEVICES}/{made['id']}", {"name": "x"})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_a_phone_reaches_none_of_it(self, owner: Caller) -> None:
        secret = make_token(owner.organisation, mobile.SCOPE)
        for path in (TOKENS, DEVICES, f"{DEVICES}/{owner.phone().pk}"):
            assert by_token(owner.organisation, secret, "GET", path).status_code == 403
