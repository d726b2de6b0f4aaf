"""The settings pages, and what requiring single sign-on does."""

from __future__ import annotations

import time

import pytest

from audit.actors import Actor
from audit.models import Event
from rbac.sso import requirement
from tenants.http.problems import Problem
from tenants.models import Organisation, SsoProvider
from tenants.people import membership
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of
from tests.sso.idp import CLIENT, Idp
from tests.sso.people import address_in, comes, make_provider

pytestmark = pytest.mark.django_db
FORM = {
    "name": "Work login",
    "slug": "work",
    "client_id": CLIENT[0],
    "secret": CLIENT[1],
    "scopes": "openid groups",
    "email_claim": "email",
    "name_claim": "name",
    "groups_claim": "groups",
    "allowed_domains": "example.test\n @Example.org ",
    "default_role": "editor",
    "session_hours": "4",
}


@pytest.fixture
def host(organisation: Organisation) -> str:
    return organisation.instance_host


@pytest.fixture
def owner(organisation: Organisation, host: str) -> Visitor:
    return Visitor().sign_in(owner_of(organisation), host)


def test_a_provider_by_the_form(owner: Visitor, idp: Idp, host: str) -> None:
    made = owner.post("/sso/settings/new", {**FORM, "issuer": idp.issuer}, host=host)
    assert (made.status_code, made.headers["Location"]) == (303, "/sso/settings/work")
    provider = SsoProvider.objects.get(slug="work")
    assert provider.allowed_domains == ["example.test", "example.org"]
    assert (provider.default_role, provider.session_hours) == ("editor", 4)
    page = owner.get("/sso/settings/work/edit", host=host).content.decode()
    assert CLIENT[1] not in page
    unchanged = {**FORM, "issuer": idp.issuer, "secret": "", "name": "New"}
    assert owner.post("/sso/settings/work/edit", unchanged, host=host).status_code == 303
    provider.refresh_from_db()
    assert provider.name == "New" and provider.client_secret_sealed is not None
    assert owner.post("/sso/settings/work/switch", {"on": "1"}, host=host).status_code == 303
    provider.refresh_from_db()
    assert provider.enabled
    assert owner.post("/sso/settings/work/switch", {"on": "0"}, host=host).status_code == 303
    assert owner.post("/sso/settings/work/delete", host=host).status_code == 303
    assert not SsoProvider.objects.exists()


def test_a_mistake_is_shown_at_its_field(owner: Visitor, idp: Idp, host: str) -> None:
    wrong = {**FORM, "issuer": "ftp://x", "slug": "a b", "allowed_domains": "exa mple"}
    page = owner.post("/sso/settings/new", wrong, host=host)
    assert page.status_code == 400
    assert "An id has 1 to 64 letters" in page.content.decode()
    wrong = {**FORM, "issuer": idp.issuer, "allowed_domains": "exa mple"}
    page = owner.post("/sso/settings/new", wrong, host=host)
    assert "exa mple is not a domain" in page.content.decode()


def test_the_page_says_why_a_provider_cannot_be_used(
    owner: Visitor, provider: SsoProvider, idp: Idp, host: str
) -> None:
    idp.metadata = {"issuer": "https://evil.example", "code_challenge_methods_supported": ["plain"]}
    page = owner.get("/sso/settings/work", host=host).content.decode()
    assert "names another issuer" in page
    idp.metadata = {"code_challenge_methods_supported": ["plain"]}
    assert "PKCE with S256" in owner.get("/sso/settings/work", host=host).content.decode()


def test_groups_by_the_form(owner: Visitor, provider: SsoProvider, host: str) -> None:
    pairs = {"group": ["Ops", "", "Boss"], "role": ["operator", "", "admin"]}
    assert owner.post("/sso/settings/work/groups", pairs, host=host).status_code == 303
    page = owner.get("/sso/settings/work", host=host).content.decode()
    assert 'value="ops"' in page and 'value="boss"' in page
    for wrong, text in (
        ({"group": ["Ops", "OPS"], "role": ["operator", "admin"]}, "stands there twice"),
        ({"group": ["New"], "role": [""]}, "Choose a role"),
    ):
        refused = owner.post("/sso/settings/work/groups", wrong, host=host)
        assert refused.status_code == 400 and text in refused.content.decode()
        assert 'value="ops"' not in refused.content.decode() or wrong["group"][0] == "Ops"
    dry = owner.get("/sso/settings/work/test?groups=OPS%0Aunknown", host=host).content.decode()
    assert "Operator" in dry and "not mapped" in dry


def test_a_test_shows_and_signs_nobody_in(
    owner: Visitor, provider: SsoProvider, idp: Idp, organisation: Organisation, host: str
) -> None:
    """Also of a provider that is off; and only to who began it."""
    SsoProvider.objects.update(enabled=False, allowed_domains=["example.test"])
    idp.claims = {"sub": "bob", "email": "bob@evil.example", "groups": ["<b>x</b>"]}
    path = idp.callback(address_in(owner.post("/sso/settings/work/test", host=host)))
    page = owner.get(path, host=host)
    text = page.content.decode()
    assert "would be kept out" in text and "domain_restricted" in text
    assert "<b>x</b>" not in text
    assert not organisation.sso_identities.exists()
    assert str(owner.at(host).session["_auth_user_id"]) == str(owner_of(organisation).pk)
    path = idp.callback(address_in(owner.post("/sso/settings/work/test", host=host)))
    owner.sign_in(add_member(organisation, "admin"), host)
    other = owner.get(path, host=host)
    assert other.status_code == 403 and "bob@evil.example" not in other.content.decode()


@pytest.mark.parametrize(
    "path",
    ["", "/new", "/work", "/work/edit", "/work/test"],
    ids=["list", "new", "provider", "edit", "test"],
)
def test_only_for_administrators_of_this_organisation(
    provider: SsoProvider, organisation: Organisation, host: str, path: str
) -> None:
    viewer = Visitor().sign_in(add_member(organisation, "viewer"), host)
    assert viewer.get(f"/sso/settings{path}", host=host).status_code == 403
    outsider = Visitor().sign_in(owner_of(make_organisation()), host)
    assert outsider.get(f"/sso/settings{path}", host=host).status_code == 403
    assert Visitor().get(f"/sso/settings{path}", host=host).status_code == 302


def test_changes_ask_who_one_is(owner: Visitor, provider: SsoProvider, host: str) -> None:
    session = owner.at(host).session
    session["_signed_in_at"] = time.time() - 3600
    session.save()
    assert owner.get("/sso/settings/work", host=host).status_code == 200
    for path in ("required", "work/switch", "work/delete", "work/groups"):
        answer = owner.post(f"/sso/settings/{path}", host=host)
        assert "/accounts/reauthenticate/" in answer.headers["Location"], path
    assert SsoProvider.objects.get().enabled


def test_requiring_it_signs_out_who_came_otherwise(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str, owner: Visitor
) -> None:
    colleague = make_user()
    membership.add(
        organisation=organisation, user=colleague, role="admin", actor=Actor.system("test")
    )
    local, by_sso = Visitor().sign_in(colleague, host), Visitor()
    comes(by_sso, provider, idp)
    assert owner.post("/sso/settings/required", {"on": "1"}, host=host).status_code == 303
    assert owner.get("/", host=host).status_code == 200
    assert by_sso.get("/", host=host).status_code == 200
    assert local.get("/", host=host).status_code == 302
    event = Event.objects.get(organisation=organisation.pk, action="sso_requirement_changed")
    assert event.after == {"sso_required": True, "sessions_ended": 1}
    owner.post("/sso/settings/required", {"on": "0"}, host=host)
    assert not Organisation.objects.get(pk=organisation.pk).sso_required


def test_it_cannot_be_required_without_a_way_in(organisation: Organisation, idp: Idp) -> None:
    actor = Actor.person(owner_of(organisation))
    with pytest.raises(Problem) as problem:
        requirement.require(organisation=organisation, on=True, actor=actor)
    assert problem.value.code == "no_provider"
    make_provider(organisation, idp)
    requirement.require(organisation=organisation, on=True, actor=actor)


def test_staff_see_providers_and_people_and_change_nothing(
    provider: SsoProvider, idp: Idp, organisation: Organisation
) -> None:
    comes(Visitor(), provider, idp)
    staff = Visitor().sign_in(make_user(is_staff=True, is_superuser=True))
    identity = organisation.sso_identities.get()
    for path in (
        "ssoprovider/",
        f"ssoprovider/{provider.pk}/change/",
        "ssoidentity/",
        f"ssoidentity/{identity.pk}/change/",
    ):
        page = staff.get(f"/admin/tenants/{path}")
        assert page.status_code == 200, path
        assert 'name="_save"' not in page.content.decode()
    assert staff.post(f"/admin/tenants/ssoprovider/{provider.pk}/delete/").status_code == 403
