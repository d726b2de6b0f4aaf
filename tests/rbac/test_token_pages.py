"""The pages of API tokens and phones, as people see them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from rbac import mobile, tokens
from rbac.models import ApiToken
from tenants.models import MemberRole, Organisation, User
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of

pytestmark = pytest.mark.django_db


class Person:
    def __init__(self, organisation: Organisation, user: User) -> None:
        self.organisation, self.user = organisation, user
        self.host = organisation.instance_host
        self.visitor = Visitor().sign_in(user, self.host)

    def get(self, path: str) -> Any:
        return self.visitor.get(path, self.host)

    def text(self, path: str) -> str:
        return str(self.get(path).content.decode())

    def post(self, path: str, data: Any) -> Any:
        return self.visitor.post(path, data, self.host)

    def token(self, name: str = "script", **options: Any) -> ApiToken:
        token, _ = tokens.issue(
            self.organisation,
            user=self.user,
            name=name,
            scopes=["settings:read"],
            actor=Actor.system("test"),
            **options,
        )
        return token

    def phone(self, name: str) -> ApiToken:
        token, _ = tokens.issue(
            self.organisation,
            user=self.user,
            name=name,
            scopes=[mobile.SCOPE],
            purpose=mobile.PURPOSE,
            actor=Actor.system("test"),
        )
        return token

    def now(self, token: ApiToken) -> ApiToken:
        with in_schema(self.organisation):
            return ApiToken.objects.get(pk=token.pk)


@pytest.fixture
def owner() -> Person:
    organisation = make_organisation()
    return Person(organisation, owner_of(organisation))


@pytest.fixture
def viewer(owner: Person) -> Person:
    return Person(owner.organisation, add_member(owner.organisation, MemberRole.VIEWER))


FORM = {"name": "Nightly report", "scopes": ["settings:read"], "expires": "90"}


def test_makes_a_token_and_shows_it_once(owner: Person) -> None:
    page = owner.post("/tokens", FORM)
    assert page.status_code == 200 and "no-store" in page["Cache-Control"]
    found = re.search(r'id="token">([0-9a-f]{64})<', page.content.decode())
    assert found
    secret = found[1]
    answer = Client().get("/api/organisation", headers={"host": owner.host, "x-api-token": secret})
    assert answer.status_code == 200
    listed = owner.text("/tokens")
    assert "Nightly report" in listed and secret[:8] in listed and secret not in listed
    with in_schema(owner.organisation):
        token = ApiToken.objects.get()
    assert token.expires_at is not None
    assert timedelta(days=89) < token.expires_at - timezone.now() < timedelta(days=91)
    assert token.user == owner.user.pk


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "\x01"}, "Null characters|Say what it is for|This field is required"),
        ({"scopes": []}, "Choose at least one"),
        ({"scopes": ["relay:mobile:access"]}, "Select a valid choice"),
        ({"scopes": ["nothing"]}, "Select a valid choice"),
        ({"expires": "9999"}, "Select a valid choice"),
    ],
)
def test_says_what_is_wrong_and_keeps_what_was_right(
    owner: Person, wrong: dict[str, Any], says: str
) -> None:
    page = owner.post("/tokens", FORM | wrong)
    text = page.content.decode()
    assert page.status_code == 400 and re.search(says, text)
    if "name" not in wrong:
        assert 'value="Nightly report"' in text
    if "scopes" not in wrong:
        assert 'id="scope-1" checked' in text
    with in_schema(owner.organisation):
        assert not ApiToken.objects.exists()


def test_offers_what_the_person_may_hand_out(owner: Person, viewer: Person) -> None:
    def offered(text: str) -> set[str]:
        return set(re.findall(r'name="scopes" value="([^"]+)"', text))

    assert offered(owner.text("/tokens")) == {"settings:read", "settings:write", "audit:read", "*"}
    assert offered(viewer.text("/tokens")) == {"settings:read", "audit:read"}
    assert viewer.post("/tokens", FORM | {"scopes": ["*"]}).status_code == 400


def test_a_limit_is_told(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PER_PERSON", 0)
    page = owner.post("/tokens", FORM)
    assert page.status_code == 409 and "Remove those that nobody uses" in page.content.decode()


def test_without_any_it_says_so(owner: Person) -> None:
    assert "You have no token" in owner.text("/tokens")


def test_renames_and_revokes(viewer: Person) -> None:
    token = viewer.token()
    path = f"/tokens/{token.pk}"
    answer = viewer.post(path, {"what": "rename", "name": " Weekly\n report "})
    assert (answer.status_code, answer["Location"]) == (302, "/tokens")
    text = viewer.text("/tokens")
    assert "is called Weekly report now" in text and viewer.now(token).name == "Weekly report"
    viewer.post(path, {"what": "rename", "name": " "})
    assert "It needs a name" in viewer.text("/tokens")
    viewer.post(path, {"what": "revoke"})
    assert viewer.now(token).revoked_at is not None
    text = viewer.text("/tokens")
    assert "removed and shut out" in text and "Ended in the last month" in text
    viewer.post(path, {"what": "rename", "name": "again"})
    assert "has ended" in viewer.text("/tokens")
    assert viewer.get(path).status_code == 405


def test_others_tokens_are_for_who_administers_people(owner: Person, viewer: Person) -> None:
    mine, theirs = owner.token("mine"), viewer.token("theirs")
    text = owner.text("/tokens")
    assert "Tokens of other people" in text and str(viewer.user) in text
    text = viewer.text("/tokens")
    assert "Tokens of other people" not in text and "mine" not in text
    assert viewer.post(f"/tokens/{mine.pk}", {"what": "revoke"}).status_code == 403
    assert owner.now(mine).revoked_at is None
    owner.post(f"/tokens/{theirs.pk}", {"what": "revoke"})
    assert viewer.now(theirs).revoked_at is not None


def test_pages_are_for_people_not_for_tokens(owner: Person) -> None:
    """A token would make itself another one, or remove a phone, with the form's own checks only."""
    phone = owner.phone("phone")
    headers = {"host": owner.host, "x-api-token": make_token(owner.organisation)}
    program = Client()
    assert program.get("/tokens", headers=headers).status_code == 403
    assert program.post("/tokens", FORM, headers=headers).status_code == 403
    removal = {"token": str(phone.pk)}
    assert program.post("/devices", removal, headers=headers).status_code == 403
    assert owner.now(phone).revoked_at is None


def test_the_form_needs_its_csrf_token(owner: Person) -> None:
    careful = Visitor(careful=True).sign_in(owner.user, owner.host)
    assert careful.post("/tokens", FORM, owner.host).status_code == 403


def test_hostile_names_are_text(owner: Person) -> None:
    name = "<script>alert(1)</script>"
    owner.token(name)
    owner.phone(name)
    for path in ("/tokens", "/devices"):
        text = owner.text(path)
        assert name not in text and "&lt;script&gt;" in text


def test_phones_say_whose_they_are(owner: Person, viewer: Person) -> None:
    owner.phone("Tablet of the kitchen")
    theirs = viewer.phone("Vera’s phone")
    text = owner.text("/devices")
    assert "Paired phones" in text and f"Of {viewer.user}" in text and "Yours." in text
    text = viewer.text("/devices")
    assert "Your phones" in text and "Vera’s phone" in text and "kitchen" not in text
    viewer.post("/devices", {"token": str(theirs.pk), "what": "rename", "name": "Vera’s"})
    assert "is called Vera’s now" in viewer.text("/devices")
    viewer.post("/devices", {"token": str(theirs.pk)})
    assert "You have paired no phone" in viewer.text("/devices")


def test_a_phone_of_somebody_who_is_gone_is_no_living_one(owner: Person) -> None:
    """Nobody's account is deleted by us; the page must not fail if one is."""
    gone = Person(owner.organisation, add_member(owner.organisation, "viewer", make_user()))
    gone.phone("left behind")
    gone.token("left behind")
    gone.user.delete()
    assert "left behind" not in owner.text("/devices")
    assert "left behind" not in owner.text("/tokens")
