"""Who comes in, as whom, and for how long (design 6; hosted-contract 11.4; F74)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from rbac.sso import signin
from tenants import lifecycle
from tenants.models import (
    Membership,
    Organisation,
    Session,
    SsoIdentity,
    SsoProvider,
    State,
    SuspendedBy,
    User,
)
from tenants.people import membership
from tests.accounts.browsing import Visitor
from tests.factories import make_organisation, make_user, owner_of, put_in_state, unique
from tests.sso.idp import Idp
from tests.sso.people import begin, code_in, comes, make_provider, roles_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def host(organisation: Organisation) -> str:
    return organisation.instance_host


def test_a_newcomer_becomes_a_member_and_is_signed_in(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    idp.claims = {"sub": "ann", "name": "Ann Other", "email": "ann@example.test", "groups": ["x"]}
    visitor = Visitor()
    answer = comes(visitor, provider, idp)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    page = visitor.get("/", host=host)
    assert page.status_code == 200
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert (identity.issuer, identity.subject) == (idp.issuer, "ann")
    assert (identity.name, identity.email) == ("Ann Other", "ann@example.test")
    assert identity.user.email is None
    member = Membership.objects.get(organisation=organisation, user=identity.user)
    assert member.role == "viewer"
    assert roles_of(organisation) == ["viewer"]
    done = Event.objects.get(organisation=organisation.pk, action="sso_oidc_login", success=True)
    assert done.actor_id == str(identity.user.pk)


def test_they_come_back_as_the_same_person(
    provider: SsoProvider, organisation: Organisation, idp: Idp
) -> None:
    comes(Visitor(), provider, idp)
    idp.claims = {"sub": "ann", "name": "Ann Married", "email": "other@example.test"}
    comes(Visitor(), provider, idp)
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert (identity.name, identity.user.name) == ("Ann Married", "Ann Married")
    assert Membership.objects.filter(organisation=organisation).count() == 2


@pytest.mark.covers("F74")
def test_an_equal_address_leads_to_no_account(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    """The owner's address, claimed and even verified, by somebody else."""
    owner = owner_of(organisation)
    idp.claims = {"sub": "mallory", "email": owner.email, "email_verified": True,
                  "preferred_username": owner.email}  # fmt: skip
    visitor = Visitor()
    assert comes(visitor, provider, idp).status_code == 303
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert identity.user_id != owner.pk
    assert visitor.get("/sso/settings", host=host).status_code == 403
    assert not owner.sso_identities.exists()


@pytest.mark.covers("C8", "F74")
def test_one_subject_in_two_organisations_is_two_people(provider: SsoProvider, idp: Idp) -> None:
    """Same issuer, same client, same subject; a mapping in one gives nothing in the other."""
    other = make_provider(make_organisation(), idp, groups={"ops": "admin"})
    idp.claims = {"sub": "ann", "groups": ["ops"]}
    for each in (provider, other):
        assert comes(Visitor(), each, idp).status_code == 303
    one, two = (SsoIdentity.objects.get(organisation=p.organisation) for p in (provider, other))
    assert one.user_id != two.user_id
    assert roles_of(provider.organisation) == ["viewer"]
    assert roles_of(other.organisation) == ["admin"]
    assert not Membership.objects.filter(
        organisation=provider.organisation, user=two.user_id
    ).exists()


def test_the_session_opens_this_host_only(provider: SsoProvider, idp: Idp, host: str) -> None:
    elsewhere = make_organisation()
    visitor = Visitor()
    comes(visitor, provider, idp)
    cookie = visitor.at(host).cookies["pulsecloud_session"].value
    for other in ("localhost", elsewhere.instance_host):
        visitor.at(other).cookies["pulsecloud_session"] = cookie
    assert visitor.get("/accounts/", host="localhost").status_code == 302
    assert visitor.get("/", host=elsewhere.instance_host).status_code == 302
    assert visitor.get("/", host=host).status_code == 200


def test_the_session_ends_after_the_providers_hours(
    provider: SsoProvider, idp: Idp, host: str
) -> None:
    SsoProvider.objects.update(session_hours=2)
    visitor = Visitor()
    comes(visitor, provider, idp)
    row = Session.objects.get(host=host)
    left = row.expire_date - timezone.now()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    visitor.get("/", host=host)
    row.refresh_from_db()
    assert row.expire_date - timezone.now() <= left


def test_the_session_is_a_new_one(provider: SsoProvider, idp: Idp, host: str) -> None:
    """Session fixation: what the browser had before is not what is signed in."""
    visitor = Visitor()
    visitor.sign_in(owner_of(provider.organisation), host)
    before = visitor.at(host).cookies["pulsecloud_session"].value
    comes(visitor, provider, idp)
    assert visitor.at(host).cookies["pulsecloud_session"].value != before


def test_their_page_offers_no_account_pages(provider: SsoProvider, idp: Idp, host: str) -> None:
    visitor = Visitor()
    comes(visitor, provider, idp)
    page = visitor.get("/", host=host).content.decode()
    assert "/accounts/" not in page
    assert "/sign-out" in page


def test_signing_out_leads_to_the_sign_in_page(provider: SsoProvider, idp: Idp, host: str) -> None:
    visitor = Visitor()
    comes(visitor, provider, idp)
    answer = visitor.post("/sign-out", host=host)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sso/")
    assert not visitor.is_signed_in(host)
    # And whoever comes back later is led to their own way in.
    assert visitor.get("/devices", host=host).headers["Location"] == "/sso/"


def test_how_fresh_a_sign_in_is_says_the_provider(
    provider: SsoProvider, idp: Idp, host: str
) -> None:
    """An admin whose provider knows them since this morning has to prove themselves again."""
    SsoProvider.objects.update(default_role="admin")
    idp.claims = {"sub": "ann", "auth_time": int(time.time()) - 3600}
    visitor = Visitor()
    comes(visitor, provider, idp)
    stale = visitor.get("/sso/settings/new", host=host)
    assert stale.headers["Location"] == "/sso/?again=1"
    assert 'name="again" value="1"' in visitor.get("/sso/?again=1", host=host).content.decode()
    again = begin(visitor, provider, again="1")
    assert "prompt=login" in again and "max_age=300" in again
    idp.claims = {"sub": "ann", "auth_time": int(time.time())}
    comes(visitor, provider, idp, again="1")
    assert visitor.get("/sso/settings/new", host=host).status_code == 200


# --- leaving, and coming back --------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, 0, -1, True, 10**400], ids=str)
def test_a_provider_that_does_not_say_makes_no_fresh_session(
    provider: SsoProvider, idp: Idp, host: str, said: object
) -> None:
    """It may know the person since this morning, and is not made to ask for the password again."""
    SsoProvider.objects.update(default_role="admin")
    idp.twist = {"auth_time": said}
    visitor = Visitor()
    address = begin(visitor, provider)
    assert "max_age" not in address
    assert visitor.get(idp.callback(address), host=host).status_code == 303
    assert visitor.get("/sso/settings", host=host).status_code == 200
    assert visitor.get("/sso/settings/new", host=host).headers["Location"] == "/sso/?again=1"


@pytest.mark.parametrize("ago", [None, 3600], ids=["silent", "stale"])
def test_proving_it_again_without_proof_says_why(
    provider: SsoProvider, idp: Idp, host: str, ago: int | None
) -> None:
    """Instead of leading round in a circle. The session that was there goes on."""
    SsoProvider.objects.update(default_role="admin")
    idp.twist = {"auth_time": ago and int(time.time()) - ago}
    visitor = Visitor()
    comes(visitor, provider, idp)
    answer = comes(visitor, provider, idp, again="1")
    assert (answer.status_code, code_in(answer)) == (403, "not_proved_again")
    assert visitor.get("/", host=host).status_code == 200
    idp.twist = {}
    assert comes(visitor, provider, idp, again="1").status_code == 303
    assert visitor.get("/sso/settings/new", host=host).status_code == 200


def test_a_removed_member_is_out_and_comes_in_again_only_through_the_provider(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    """Contract section 10.5: a later permitted sign-in makes them a member again."""
    visitor = Visitor()
    comes(visitor, provider, idp)
    user = SsoIdentity.objects.get(organisation=organisation).user
    membership.remove(organisation=organisation, user=user, actor=Actor.system("test"))
    assert visitor.get("/", host=host).status_code == 302
    assert comes(visitor, provider, idp).status_code == 303
    assert SsoIdentity.objects.get(organisation=organisation).user_id == user.pk
    assert roles_of(organisation) == ["viewer"]
    SsoProvider.objects.update(allowed_groups=["ops"])
    membership.remove(organisation=organisation, user=user, actor=Actor.system("test"))
    assert code_in(comes(Visitor(), provider, idp)) == "group_restricted"
    assert not organisation.memberships.filter(user=user).exists()


def test_a_closed_account_stays_out(
    provider: SsoProvider, organisation: Organisation, idp: Idp
) -> None:
    comes(Visitor(), provider, idp)
    User.objects.filter(sso_identities__organisation=organisation).update(is_active=False)
    visitor = Visitor()
    assert code_in(comes(visitor, provider, idp)) == "session_failed"


def test_a_provider_that_is_switched_off_on_the_way(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    make_provider(organisation, idp, "other")
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    SsoProvider.objects.filter(pk=provider.pk).update(enabled=False)
    assert code_in(visitor.get(path, host=host)) == "provider_not_found"


# --- the organisation's state and plan ------------------------------------------------------------


@pytest.mark.covers("C1")
@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_a_shut_organisation_sends_nobody_to_the_provider(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str, state: str
) -> None:
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    put_in_state(organisation, state)
    asked = len(idp.asked)
    for answer in (
        visitor.get("/sso/", host=host),
        visitor.post("/sso/work/login", host=host),
        visitor.get(path, host=host),
    ):
        assert (answer.status_code, code_in(answer)) == (403, "org_suspended")
    assert len(idp.asked) == asked
    assert not visitor.is_signed_in(host)
    put_in_state(organisation, State.ACTIVE)
    assert visitor.get(path, host=host).status_code == 303


@pytest.mark.covers("C1")
def test_suspended_while_the_provider_is_asked(
    provider: SsoProvider,
    organisation: Organisation,
    idp: Idp,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the first look at the state and the session."""
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))

    real = signin.mapped

    def slow(*args: Any) -> bool:
        lifecycle.suspend(
            organisation=organisation, by=SuspendedBy.PLATFORM, actor=Actor.system("test")
        )
        return real(*args)

    monkeypatch.setattr(signin, "mapped", slow)
    assert code_in(visitor.get(path, host=host)) == "org_suspended"
    assert not SsoIdentity.objects.filter(organisation=organisation).exists()
    assert not visitor.is_signed_in(host)


def test_without_the_capability_nobody_is_sent(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    from billing.models import BillingState

    BillingState.objects.filter(organisation=organisation).update(capabilities=["relay"])
    asked = len(idp.asked)
    page = Visitor().post("/sso/work/login", host=host)
    assert code_in(page) == "provider_not_found"
    assert len(idp.asked) == asked


@pytest.mark.covers("F76")
def test_hosted_mode_off_answers_as_if_nothing_were_there(
    provider: SsoProvider, host: str, settings: Any
) -> None:
    settings.HOSTED_MODE = False
    for method, path in (
        ("get", "/sso/"),
        ("post", "/sso/work/login"),
        ("get", "/sso/work/callback"),
    ):
        answer = getattr(Visitor(), method)(path, host=host)
        assert (answer.status_code, answer.content) == (404, b"Not found\n")


@pytest.mark.covers("H22")
def test_without_single_sign_on_nothing_shows(organisation: Organisation, idp: Idp) -> None:
    """No provider, one that is off, an organisation in any other state, and an unknown label."""
    off = make_organisation()
    make_provider(off, idp)
    SsoProvider.objects.filter(organisation=off).update(enabled=False)
    going = make_organisation()
    make_provider(going, idp)
    Organisation.objects.filter(pk=going.pk).update(state=State.PURGING)
    unknown = unique("nobody")
    seen: dict[str, set[str]] = {}
    for label in (organisation.label, off.label, going.label, unknown):
        for method, path in (
            ("get", "/sso/"),
            ("post", "/sso/work/login"),
            ("get", "/sso/work/callback?state=x&code=y"),
        ):
            answer = getattr(Visitor(), method)(path, host=f"{label}.localhost")
            telling = {
                k: v for k, v in answer.headers.items() if k not in ("X-Request-Id", "Expires")
            }
            text = f"{answer.status_code} {telling} {answer.content!r}".replace(label, "LABEL")
            seen.setdefault(path, set()).add(text)
    assert [len(answers) for answers in seen.values()] == [1, 1, 1], seen


def test_the_page_tells_no_more_than_the_ways_in(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    make_provider(organisation, idp, "old", name="Old login")
    SsoProvider.objects.filter(slug="old").update(enabled=False)
    page = Visitor().get("/sso/", host=host).content.decode()
    assert "Continue with Work login" in page
    assert "Old login" not in page
    for secret in (organisation.display_name, idp.issuer, "pulsecloud_", provider.client_id + '"'):
        assert secret not in page


# --- required, and the owner's way in -------------------------------------------------------------


def hand_off(visitor: Visitor, organisation: Organisation) -> Any:
    from tests.accounts.browsing import field

    page = visitor.post(f"/o/{organisation.label}/", {"to": "/"})
    if page.status_code != 200:
        return page
    return visitor.post(
        "/hand-off",
        {"token": field(page, "token")},
        host=organisation.instance_host,
        HTTP_ORIGIN="http://localhost:8000",
    )


@pytest.mark.covers("F74")
def test_the_owner_gets_in_while_the_provider_is_down(
    provider: SsoProvider, organisation: Organisation, idp: Idp, host: str
) -> None:
    from rbac.sso import discovery

    Organisation.objects.filter(pk=organisation.pk).update(sso_required=True)
    discovery.forget(provider)
    idp.answers["/.well-known/openid-configuration"] = lambda: (503, {}, b"")
    page = Visitor().post("/sso/work/login", host=host)
    assert code_in(page) == "provider_unavailable"
    owner = Visitor().sign_in(owner_of(organisation))
    assert hand_off(owner, organisation).status_code == 303
    assert owner.get("/sso/settings", host=host).status_code == 200
    noted = Event.objects.get(organisation=organisation.pk, action="sso_break_glass")
    assert noted.actor_id == str(owner_of(organisation).pk)


def test_other_members_are_led_to_the_sign_in_page(
    provider: SsoProvider, organisation: Organisation
) -> None:
    colleague = make_user()
    membership.add(
        organisation=organisation, user=colleague, role="admin", actor=Actor.system("test")
    )
    visitor = Visitor().sign_in(colleague)
    assert hand_off(visitor, organisation).status_code == 303
    Organisation.objects.filter(pk=organisation.pk).update(sso_required=True)
    for answer in (visitor.get(f"/o/{organisation.label}/"), hand_off(visitor, organisation)):
        assert answer.status_code == 403
        assert f'href="http://{organisation.instance_host}:8000/sso/"' in answer.content.decode()
    stranger = Visitor().sign_in(make_user())
    assert stranger.get(f"/o/{organisation.label}/").status_code == 404


def test_a_hand_off_that_was_under_way_is_refused(
    provider: SsoProvider, organisation: Organisation, host: str
) -> None:
    from tests.accounts.browsing import field

    colleague = make_user()
    membership.add(
        organisation=organisation, user=colleague, role="admin", actor=Actor.system("test")
    )
    visitor = Visitor().sign_in(colleague)
    token = field(visitor.post(f"/o/{organisation.label}/", {"to": "/"}), "token")
    Organisation.objects.filter(pk=organisation.pk).update(sso_required=True)
    visitor.post("/hand-off", {"token": token}, host=host, HTTP_ORIGIN="http://localhost:8000")
    assert not visitor.is_signed_in(host)


def test_nobody_without_the_owners_place_breaks_the_glass(organisation: Organisation) -> None:
    owner = Visitor().sign_in(owner_of(organisation))
    assert hand_off(owner, organisation).status_code == 303
    assert not Event.objects.filter(organisation=organisation.pk, action="sso_break_glass").exists()
