"""An organisation reads that platform staff changed its roles, and not who of them."""

from __future__ import annotations

import pytest

from audit.actors import Actor
from rbac import assignments, roles
from rbac.authorizer import Grant
from rbac.role_specs import RoleSpec
from tests.factories import add_member, make_organisation, make_user
from tests.rbac.people import Caller

pytestmark = pytest.mark.django_db
LOG = "/api/admin/rbac/changelog"


@pytest.mark.covers("H10")
def test_staff_have_no_name_there() -> None:
    organisation = make_organisation()
    staff = make_user(name="Sam of the platform", is_staff=True)
    actor, user = Actor.staff(staff), add_member(organisation)
    spec = RoleSpec("Nights", grants=(Grant("read", "nodes"),))
    roles.create(organisation, "night", spec, actor=actor, reason="asked for")
    assignments.set_roles(organisation, user.pk, ["night"], actor=actor)
    roles.update(organisation, "night", RoleSpec("Day"), actor=actor)
    roles.delete(organisation, "night", actor=actor)
    owner = Caller(organisation)
    answer = owner.ask("PUT", f"/api/admin/users/{user.pk}/roles", {"roleIds": ["viewer"]})
    assert answer.status_code == 204
    for query in ("", "?limit=100", "?entityType=role", f"?entityId={user.pk}"):
        text = owner.ask("GET", f"{LOG}{query}").content.decode()
        for told in (str(staff.pk), staff.pk.hex, staff.email, "Sam of the platform", "staff:"):
            assert told is not None and told not in text
    shown = [(each["action"], each["user"]) for each in owner.gets(LOG)]
    assert shown[:6] == [
        ("user_roles_updated", f"person:{owner.user.pk}"),
        ("role_deleted", "staff"),
        ("user_unassigned", "staff"),
        ("role_updated", "staff"),
        ("user_roles_updated", "staff"),
        ("role_created", "staff"),
    ]
    assert owner.gets(f"{LOG}?entityId={staff.pk}") == []
