"""One person holds a bounded number of permissions, however they come by them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from audit.actors import Actor
from audit.models import Event
from rbac import assignments, holding
from rbac.authorizer import Grant
from rbac.models import Assignment, GroupMapping, Permission, Role
from rbac.sso import providers, values
from tenants.http.problems import Problem
from tenants.models import Organisation, SsoIdentity
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, owner_of
from tests.rbac.people import PLATFORM, Caller, held, make_role, member_with
from tests.sso.idp import Idp, running
from tests.sso.people import code_in, comes, make_provider, roles_of

pytestmark = pytest.mark.django_db
ROLES, USERS = "/api/admin/roles", "/api/admin/users"


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setattr(holding, "MOST", 10)
    return Caller(make_organisation())


@pytest.fixture
def idp(settings: Any) -> Any:
    settings.SSO_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    with running() as provider:
        yield provider


def of(number: int, prefix: str = "thing") -> list[Grant]:
    return [Grant("read", f"{prefix}-{n}") for n in range(number)]


def body(number: int, **more: Any) -> dict[str, Any]:
    permissions = [{"action": "read", "resource": f"thing-{n}"} for n in range(number)]
    return {"name": "Role", "permissions": permissions, **more}


def too_many(caller: Caller, method: str, path: str, sent: Any) -> None:
    caller.refused(400, "too_many_permissions", method, path, sent)


def test_roles_are_given_up_to_the_bound(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "six", *of(6))
    make_role(organisation, "four", *of(4, "other"))
    user = add_member(organisation, "viewer")
    path = f"{USERS}/{user.pk}/roles"
    assert owner.ask("PUT", path, {"roleIds": ["six", "four"]}).status_code == 204
    too_many(owner, "PUT", path, {"roleIds": ["six", "four", "viewer"]})
    assert held(organisation, user.pk) == {"six", "four"}
    refused = Event.objects.get(
        organisation=organisation.pk, action="user_roles_update_failed", success=False
    )
    assert refused.after is not None and refused.after["code"] == "too_many_permissions"
    page = owner.client.post(
        f"/people/{user.pk}/roles/give",
        {"role": ["six", "four", "viewer"], "seen": ""},
        HTTP_HOST=organisation.instance_host,
    )
    assert page.status_code in (400, 412)


def test_what_is_inherited_counts(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "base", *of(6))
    make_role(organisation, "child", *of(3, "other"), parent="base")
    user = member_with(organisation, "child")
    too_many(owner, "PUT", f"{ROLES}/base", body(8))
    too_many(owner, "PUT", f"{ROLES}/child", body(5, parentId="base"))
    assert owner.ask("PUT", f"{ROLES}/base", body(7)).status_code == 200
    assert held(organisation, user.pk) == {"child"}


def test_a_role_that_nobody_could_hold_is_not_made(owner: Caller) -> None:
    make_role(owner.organisation, "base", *of(6))
    too_many(owner, "POST", ROLES, body(5, id="new", parentId="base"))
    too_many(owner, "POST", ROLES, body(11, id="new"))
    assert owner.ask("POST", ROLES, body(4, id="new", parentId="base")).status_code == 200


def test_a_role_does_not_grow_beyond_what_its_holders_bear(owner: Caller) -> None:
    organisation = owner.organisation
    make_role(organisation, "one", *of(5))
    make_role(organisation, "two", *of(5, "other"))
    user = member_with(organisation, "one", "two")
    too_many(owner, "PUT", f"{ROLES}/one", body(6))
    assignments.set_roles(organisation, user.pk, ["one"], actor=PLATFORM)
    assert owner.ask("PUT", f"{ROLES}/one", body(6)).status_code == 200


def test_what_was_more_before_may_shrink(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = owner.organisation
    make_role(organisation, "one", *of(8))
    make_role(organisation, "two", *of(2, "other"))
    user = member_with(organisation, "one", "two")
    monkeypatch.setattr(holding, "MOST", 5)
    too_many(owner, "PUT", f"{ROLES}/one", body(9))
    assert owner.ask("PUT", f"{ROLES}/one", body(7)).status_code == 200
    path = f"{USERS}/{user.pk}/roles"
    assert owner.ask("PUT", path, {"roleIds": ["one"]}).status_code == 204
    too_many(owner, "PUT", path, {"roleIds": ["one", "two"]})


def test_groups_are_not_mapped_to_more_together(owner: Caller, idp: Idp) -> None:
    organisation = owner.organisation
    make_role(organisation, "six", *of(6))
    make_role(organisation, "five", *of(5, "other"))
    provider = make_provider(organisation, idp)
    actor = Actor.person(owner_of(organisation))

    def map_groups(groups: dict[str, str]) -> None:
        providers.set_mapping(provider=provider, wanted=values.mapping(groups), actor=actor)

    with pytest.raises(Problem) as problem:
        map_groups({"a": "six", "b": "five"})
    assert (problem.value.status, problem.value.code) == (400, "too_many_permissions")
    map_groups({"a": "six", "b": "six", "c": "auditor"})
    # Nor do the mapped roles grow beyond it afterwards.
    too_many(owner, "PUT", f"{ROLES}/six", body(7))
    assert owner.ask("PUT", f"{ROLES}/six", body(5)).status_code == 200


def test_a_sign_in_that_would_give_more_is_refused_and_takes_what_was_given(
    owner: Caller, idp: Idp
) -> None:
    """However the tables came to say so; somebody who was let in before is signed out."""
    organisation = owner.organisation
    provider = make_provider(organisation, idp, groups={"ops": "operator"})
    idp.claims = {"sub": "ann", "groups": ["ops"]}
    visitor = Visitor()
    assert comes(visitor, provider, idp).status_code == 303
    assert roles_of(organisation) == ["operator"]
    _behind_the_verbs(organisation, provider.pk)
    idp.claims = {"sub": "ann", "groups": ["ops", "all"]}
    assert code_in(comes(Visitor(), provider, idp)) == "too_many_permissions"
    assert roles_of(organisation) == []
    assert visitor.get("/", organisation.instance_host).status_code in (302, 303, 401)
    idp.claims = {"sub": "new", "groups": ["all"]}
    assert code_in(comes(Visitor(), provider, idp)) == "too_many_permissions"
    assert not SsoIdentity.objects.filter(organisation=organisation, subject="new").exists()
    with in_schema(organisation):
        assert not Assignment.objects.filter(role_id="huge").exists()


def _behind_the_verbs(organisation: Organisation, provider: Any) -> None:
    with in_schema(organisation):
        role = Role.objects.create(id="huge", name="Huge")
        for each in of(11):
            Permission.objects.create(role=role, action=each.action, resource=each.resource)
        GroupMapping.objects.create(provider=provider, group="all", role=role)
