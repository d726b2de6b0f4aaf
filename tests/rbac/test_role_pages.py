"""Pages of roles, without scripts: list, editor, one role, and the roles of a person."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from rbac.authorizer import Grant
from rbac.models import Role
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_user
from tests.rbac.people import Caller, held, make_role, member_with

pytestmark = pytest.mark.django_db


class Visitor(Caller):
    def page(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path, HTTP_HOST=self.organisation.instance_host)
        assert answer.status_code == status, answer.content
        return answer.content.decode()

    def posts(self, path: str, **fields: Any) -> Any:
        return self.client.post(path, fields, HTTP_HOST=self.organisation.instance_host)


@pytest.fixture
def owner() -> Visitor:
    return Visitor(make_organisation())


def seen(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found
    return found[1].replace("&quot;", '"')


def rows(*permissions: tuple[str, str, str, str]) -> dict[str, list[str]]:
    names = ("effect", "action", "resource", "conditions")
    return {name: [each[i] for each in permissions] for i, name in enumerate(names)}


def test_the_list_shows_all_and_helps_the_first_time(owner: Visitor) -> None:
    page = owner.page("/roles")
    for name in ("Administrator", "Operator", "Viewer", "Auditor", "No roles of your own yet"):
        assert name in page
    assert "1 person" in page
    make_role(owner.organisation, "night-shift", Grant("read", "nodes"), parent="viewer")
    page = owner.page("/roles")
    assert "night-shift" in page and "inherits Viewer" in page
    assert "No roles of your own yet" not in page


def test_making_a_role_works(owner: Visitor) -> None:
    assert "Permissions" in owner.page("/roles/+new")
    form = rows(
        ("allow", "write", "nodes:*", ""),
        ("deny", "read", "audit_logs", "site=north, owner=${user}"),
        ("allow", "read", "", "left out"),
    )
    answer = owner.posts("/roles/+new", id="night", name="Nights", parent="viewer", **form)
    assert (answer.status_code, answer["Location"]) == (303, "/roles/night")
    page = owner.page("/roles/night")
    assert "The role Nights is made" in page
    assert "May change nodes and all below" in page
    assert "Must not read audit_logs, if site is north and owner is ${user}" in page
    assert "Inherited from" in page and "May read everything" in page
    role = owner.gets("/api/admin/roles/night")
    assert role["permissions"][1]["conditions"] == {"site": "north", "owner": "${user}"}


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"id": "a b"}, "64 letters"),
        ({"id": "viewer"}, "There is a role viewer already"),
        ({"resource": ["a b"]}, "resource must be"),
        ({"conditions": ["north"]}, "Write conditions as name=value"),
        ({"action": ["fly"]}, "action must be"),
    ],
    ids=["id", "taken", "resource", "conditions", "action"],
)
def test_what_was_typed_is_kept_with_what_is_wrong(
    owner: Visitor, field: dict[str, Any], says: str
) -> None:
    form = {"id": "night", "name": "My <nights>", **rows(("deny", "read", "nodes", "")), **field}
    answer = owner.posts("/roles/+new", **form)
    page = answer.content.decode()
    assert answer.status_code in (400, 409)
    assert says in page and "My &lt;nights&gt;" in page
    with in_schema(owner.organisation):
        assert Role.objects.count() == 4


def test_more_rows_without_scripts(owner: Visitor) -> None:
    form = rows(*((("allow", "read", f"res-{n}", "")) for n in range(3)))
    page = owner.posts("/roles/+new", id="x", name="Kept", more="yes", **form).content.decode()
    assert page.count('name="resource"') == 6
    assert "Kept" in page and 'value="res-2"' in page
    with in_schema(owner.organisation):
        assert Role.objects.count() == 4


def test_changing_and_deleting_works(owner: Visitor) -> None:
    make_role(owner.organisation, "night", Grant("read", "nodes", "allow", {"site": "north"}))
    page = owner.page("/roles/night")
    assert 'value="site=north"' in page
    tag = seen(page)
    form = rows(("allow", "write", "nodes", ""))
    answer = owner.posts("/roles/night/edit", name="Nights", seen=tag, **form)
    assert answer.status_code == 303
    again = owner.posts("/roles/night/edit", name="Other", seen=tag, **form)
    assert again.status_code == 412
    assert "Somebody changed it meanwhile" in again.content.decode()
    role = owner.gets("/api/admin/roles/night")
    assert (role["name"], role["permissions"][0]["action"]) == ("Nights", "write")
    assert owner.posts("/roles/night/delete")["Location"] == "/roles"
    owner.page("/roles/night", 404)


def test_builtin_roles_and_ones_own_are_shown_only(owner: Visitor) -> None:
    page = owner.page("/roles/admin")
    assert "cannot be changed" in page and "<form" not in page.split("</header>")[1]
    make_role(owner.organisation, "mine", Grant("admin", "*"))
    user = member_with(owner.organisation, "mine")
    page = Visitor(owner.organisation, user).page("/roles/mine")
    assert "somebody else must change it" in page and "/roles/mine/edit" not in page
    holder = Visitor(owner.organisation, user)
    assert holder.posts("/roles/mine/delete").status_code == 303
    assert "You hold this role" in holder.page("/roles/mine")


def test_giving_roles_to_a_person_works(owner: Visitor) -> None:
    user = add_member(owner.organisation, "viewer")
    path = f"/people/{user.pk}/roles"
    assert path in owner.page("/people")
    page = owner.page(path)
    assert "May read everything" in page
    tag = seen(page)
    answer = owner.posts(f"{path}/give", role=["auditor", "operator"], seen=tag)
    assert (answer.status_code, answer["Location"]) == (303, path)
    assert held(owner.organisation, user.pk) == {"auditor", "operator"}
    stale = owner.posts(f"{path}/give", role=["viewer"], seen=tag)
    assert stale.status_code == 412 and "Somebody changed it" in stale.content.decode()
    assert owner.posts(f"{path}/give", seen=seen(owner.page(path))).status_code == 303
    assert "without a role a member may do nothing" in owner.page(path)


def test_ones_own_roles_are_not_ones_own_to_change(owner: Visitor) -> None:
    path = f"/people/{owner.user.pk}/roles"
    page = owner.page(path)
    assert "Nobody changes their own" in page and f"{path}/give" not in page
    answer = owner.posts(f"{path}/give", role=["viewer"], seen=seen_of(owner))
    assert answer.status_code == 403
    assert held(owner.organisation, owner.user.pk) == {"admin"}


def seen_of(owner: Visitor) -> str:
    tag: str = owner.ask("GET", f"/api/admin/users/{owner.user.pk}")["ETag"]
    return tag


def test_viewers_see_and_change_nothing(owner: Visitor) -> None:
    organisation = owner.organisation
    make_role(organisation, "night")
    viewer = Visitor(organisation, add_member(organisation, "viewer"))
    assert "/roles/+new" not in viewer.page("/roles")
    assert "/roles/night/edit" not in viewer.page("/roles/night")
    assert "Save the roles" not in viewer.page(f"/people/{owner.user.pk}/roles")
    viewer.page("/roles/+new", 403)
    for path in ("/roles/+new", "/roles/night/edit", "/roles/night/delete"):
        assert viewer.posts(path, id="x").status_code == 403
    assert viewer.posts(f"/people/{owner.user.pk}/roles/give").status_code == 403


def test_nobody_else_is_shown(owner: Visitor) -> None:
    owner.page(f"/people/{make_user().pk}/roles", 404)
    answer = owner.posts(f"/people/{make_user().pk}/roles/give", role=["viewer"])
    assert answer.status_code == 404
    path = "/roles"
    other = make_organisation()
    anonymous = Client().get(path, HTTP_HOST=other.instance_host)
    assert anonymous.status_code == 302
