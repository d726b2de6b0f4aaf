"""Groups decide about roles, at every sign-in, in one organisation (hosted-contract 11.3; F74, F75)."""

from __future__ import annotations

from typing import Any

import pytest

from audit.actors import Actor
from audit.models import Event
from rbac.models import Assignment, Change, GroupMapping, Permission, Role
from rbac.sso import providers, values
from tenants.http.problems import Problem
from tenants.models import Organisation, SsoIdentity, SsoProvider
from tenants.people import membership
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, owner_of
from tests.sso.idp import CLIENT, Idp
from tests.sso.people import code_in, comes, make_provider, roles_of

pytestmark = pytest.mark.django_db


def map_groups(provider: SsoProvider, groups: dict[str, str], actor: Actor | None = None) -> None:
    actor = actor or Actor.person(owner_of(provider.organisation))
    providers.set_mapping(provider=provider, wanted=values.mapping(groups), actor=actor)


def come_with(provider: SsoProvider, idp: Idp, groups: object, sub: str = "ann") -> Visitor:
    idp.claims = {"sub": sub, "groups": groups}
    visitor = Visitor()
    assert comes(visitor, provider, idp).status_code == 303
    return visitor


def version(organisation: Organisation) -> int:
    return Organisation.objects.get(pk=organisation.pk).rbac_version


def test_without_a_mapping_roles_stay(provider: SsoProvider, idp: Idp) -> None:
    organisation = provider.organisation
    come_with(provider, idp, ["ops"])
    user = SsoIdentity.objects.get(organisation=organisation).user
    with in_schema(organisation):
        Assignment.objects.create(user=user.pk, role_id="auditor")
    come_with(provider, idp, [])
    assert roles_of(organisation) == ["auditor", "viewer"]


@pytest.mark.covers("F74")
def test_the_mapped_roles_replace_all_others_at_every_sign_in(
    provider: SsoProvider, idp: Idp
) -> None:
    organisation = provider.organisation
    map_groups(provider, {"Operations": "operator", "audit": "auditor", "boss": "admin"})
    come_with(provider, idp, [" OPERATIONS ", "Audit", "canteen"])
    assert roles_of(organisation) == ["auditor", "operator"]
    come_with(provider, idp, "boss,canteen")
    assert roles_of(organisation) == ["admin"]
    seen = version(organisation)
    come_with(provider, idp, ["canteen"])
    assert roles_of(organisation) == []
    assert version(organisation) > seen


@pytest.mark.covers("F74", "F75")
def test_who_lost_the_group_may_nothing_from_the_next_request_on(
    provider: SsoProvider, idp: Idp
) -> None:
    """The session from before the change loses it too, at once."""
    host = provider.organisation.instance_host
    map_groups(provider, {"boss": "admin"})
    before = come_with(provider, idp, ["boss"])
    assert before.get("/sso/settings", host=host).status_code == 200
    now = come_with(provider, idp, ["canteen"])
    for visitor in (before, now):
        assert visitor.get("/sso/settings", host=host).status_code == 403
        assert visitor.get("/", host=host).status_code == 403


@pytest.mark.covers("F74")
@pytest.mark.parametrize(
    "claims",
    [{}, {"groups": 7}, {"groups": ["boss"], "_claim_names": {"groups": "src1"}}],
    ids=["absent", "odd", "too-many"],
)
def test_groups_that_cannot_be_known_keep_out_and_take_the_roles(
    provider: SsoProvider, idp: Idp, claims: dict[str, object]
) -> None:
    organisation = provider.organisation
    map_groups(provider, {"boss": "admin"})
    visitor = come_with(provider, idp, ["boss"])
    idp.claims = {"sub": "ann", **claims}
    assert code_in(comes(Visitor(), provider, idp)) == "group_restricted"
    assert roles_of(organisation) == []
    assert visitor.get("/", host=organisation.instance_host).status_code == 302


def test_who_is_not_allowed_any_more_is_signed_out(provider: SsoProvider, idp: Idp) -> None:
    host = provider.organisation.instance_host
    visitor = come_with(provider, idp, ["ops"])
    assert visitor.get("/", host=host).status_code == 200
    SsoProvider.objects.update(allowed_groups=["ops"])
    idp.claims = {"sub": "ann", "groups": ["canteen"]}
    assert code_in(comes(Visitor(), provider, idp)) == "group_restricted"
    assert visitor.get("/", host=host).status_code == 302


def test_the_owner_keeps_their_roles(provider: SsoProvider, idp: Idp) -> None:
    """Even were an identity the owner's: nothing that a provider says locks them out."""
    organisation = provider.organisation
    map_groups(provider, {"ops": "operator"})
    SsoIdentity.objects.create(
        organisation=organisation, issuer=idp.issuer, subject="boss", user=owner_of(organisation)
    )
    come_with(provider, idp, ["canteen"], sub="boss")
    assert roles_of(organisation, "boss") == ["admin"]


@pytest.mark.covers("C8")
def test_a_mapping_is_invisible_and_without_effect_elsewhere(
    provider: SsoProvider, idp: Idp
) -> None:
    other = make_provider(make_organisation(), idp)
    map_groups(provider, {"boss": "admin"})
    with in_schema(other.organisation):
        assert not GroupMapping.objects.exists()
    come_with(provider, idp, ["boss"])
    seen = version(other.organisation)
    come_with(other, idp, ["boss"])
    assert roles_of(provider.organisation) == ["admin"]
    assert roles_of(other.organisation) == ["viewer"]
    idp.claims = {"sub": "ann", "groups": []}
    come_with(provider, idp, [])
    assert roles_of(provider.organisation) == []
    assert roles_of(other.organisation) == ["viewer"]
    assert version(other.organisation) > seen  # by its own sign-in
    with in_schema(other.organisation):
        assert not Change.objects.filter(new_value={"roleIds": ["admin"]}).exclude(
            entity_id=str(owner_of(other.organisation).pk)
        )


def test_changes_are_logged_with_the_person_as_actor(provider: SsoProvider, idp: Idp) -> None:
    organisation = provider.organisation
    map_groups(provider, {"boss": "admin"})
    come_with(provider, idp, ["boss"])
    user = SsoIdentity.objects.get(organisation=organisation).user
    with in_schema(organisation):
        change = Change.objects.order_by("-pk").first()
        assert change is not None
        assert change.new_value == {"roleIds": ["admin"]}
        assert change.actor == f"person:{user.pk}"
    event = Event.objects.get(organisation=organisation.pk, action="sso_oidc_role_assignment")
    assert event.after == {"roles": ["admin"], "provider": "work", "groups": ["boss"]}
    come_with(provider, idp, ["boss"])  # the same again changes nothing
    assert Event.objects.filter(action="sso_oidc_role_assignment").count() == 1


# --- who may map ------------------------------------------------------------------------------------


def admin_of_people_only(organisation: Organisation) -> Actor:
    """May administer people and read; not more."""
    with in_schema(organisation):
        role = Role.objects.create(id="people-admin", name="People")
        Permission.objects.create(role=role, action="admin", resource="users")
        Permission.objects.create(role=role, action="read", resource="*")
        user = add_member(organisation)
        Assignment.objects.filter(user=user.pk).delete()
        Assignment.objects.create(user=user.pk, role=role)
    return Actor.person(user)


def test_nobody_maps_a_group_to_more_than_they_have(
    provider: SsoProvider, organisation: Organisation
) -> None:
    actor = admin_of_people_only(organisation)
    map_groups(provider, {"readers": "viewer"}, actor)
    with pytest.raises(Problem) as problem:
        map_groups(provider, {"readers": "viewer", "mine": "admin"}, actor)
    assert problem.value.code == "escalation_denied"
    refused = Event.objects.get(organisation=organisation.pk, success=False)
    assert (refused.action, refused.reason) == ("sso_mapping_changed", "escalation_denied")
    with in_schema(organisation):
        assert GroupMapping.objects.count() == 1


def test_nor_makes_newcomers_more_than_they_are(
    provider: SsoProvider, organisation: Organisation
) -> None:
    actor = admin_of_people_only(organisation)
    for change in ({"default_role": "admin"}, {"default_role": "editor"}):
        with pytest.raises(Problem) as problem:
            providers.update(
                provider=provider, values=values.parse(change, stored=provider), actor=actor
            )
        assert problem.value.code == "escalation_denied"
    renamed = values.parse({"name": "New name"}, stored=provider)
    assert providers.update(provider=provider, values=renamed, actor=actor).name == "New name"


ANOTHER_WAY_IN = [
    {"issuer": "https://mine.example", "secret": "mine"}, {"client_id": "mine"},
    {"groups_claim": "nickname"}, {"email_claim": "nickname"}, {"scopes": "openid groups mine"},
    {"allowed_emails": ["me@example.test"]}, {"allowed_domains": ["example.test"]},
    {"allowed_groups": ["everybody"]},
]  # fmt: skip


@pytest.mark.parametrize("change", ANOTHER_WAY_IN, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("gives", ["by-mapping", "to-newcomers"])
def test_nor_decides_who_gets_more_than_they_have(
    organisation: Organisation, idp: Idp, change: dict[str, Any], gives: str
) -> None:
    """Whoever points it at a provider or claim of their own would come back as an administrator."""
    more: dict[str, Any] = (
        {"groups": {"ops": "admin"}} if gives == "by-mapping" else {"default_role": "admin"}
    )
    provider = make_provider(organisation, idp, **more)
    actor = admin_of_people_only(organisation)
    with pytest.raises(Problem) as problem:
        providers.update(
            provider=provider, values=values.parse(change, stored=provider), actor=actor
        )
    assert problem.value.code == "escalation_denied"
    harmless = {"name": "New name", "session_hours": 2, "secret": CLIENT[1]}
    same = values.parse(harmless, stored=provider)
    assert providers.update(provider=provider, values=same, actor=actor).name == "New name"
    # What gives no more than they have is theirs to change.
    providers.set_mapping(provider=provider, wanted={}, actor=Actor.person(owner_of(organisation)))
    low = values.parse({"default_role": "viewer"}, stored=provider)
    provider = providers.update(
        provider=provider, values=low, actor=Actor.person(owner_of(organisation))
    )
    wanted = values.parse(change, stored=provider)
    assert providers.update(provider=provider, values=wanted, actor=actor)


def test_nor_switches_on_what_gives_more_than_they_have(
    organisation: Organisation, idp: Idp
) -> None:
    provider = make_provider(organisation, idp, groups={"ops": "admin"})
    actor = admin_of_people_only(organisation)
    assert not providers.disable(provider=provider, actor=actor).enabled
    with pytest.raises(Problem) as problem:
        providers.enable(provider=provider, actor=actor)
    assert problem.value.code == "escalation_denied"
    refused = Event.objects.get(organisation=organisation.pk, success=False)
    assert (refused.action, refused.reason) == ("sso_provider_updated", "escalation_denied")
    provider.refresh_from_db()
    assert not provider.enabled
    assert providers.enable(provider=provider, actor=Actor.person(owner_of(organisation))).enabled


def test_an_unknown_role_is_refused(provider: SsoProvider) -> None:
    with pytest.raises(Problem) as problem:
        map_groups(provider, {"ops": "no-such-role"})
    assert problem.value.code == "validation_error"


def test_a_deleted_role_takes_its_mapping_along(
    provider: SsoProvider, organisation: Organisation, idp: Idp
) -> None:
    with in_schema(organisation):
        Role.objects.create(id="custom", name="Custom")
    map_groups(provider, {"ops": "custom", "boss": "admin"})
    come_with(provider, idp, ["ops"])
    with in_schema(organisation):
        Role.objects.get(pk="custom").delete()
    come_with(provider, idp, ["ops"])
    assert roles_of(organisation) == []


def test_a_membership_that_ended_meanwhile_starts_anew(
    provider: SsoProvider, organisation: Organisation, idp: Idp
) -> None:
    map_groups(provider, {"boss": "admin"})
    come_with(provider, idp, ["boss"])
    user = SsoIdentity.objects.get(organisation=organisation).user
    membership.remove(organisation=organisation, user=user, actor=Actor.system("test"))
    assert roles_of(organisation) == []
    come_with(provider, idp, ["boss"])
    assert roles_of(organisation) == ["admin"]
