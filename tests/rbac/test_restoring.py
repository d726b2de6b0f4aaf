"""`manage.py restore_admin`: the way back in for an organisation that locked itself out."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from rbac.authorizer import Grant
from rbac.models import Assignment, Permission, Role
from tenants.models import State
from tenants.schemas import in_schema
from tenants.versions import move_on
from tests.factories import add_member, make_organisation
from tests.rbac.people import Caller, held, make_role

pytestmark = pytest.mark.django_db


def restore(label: str, reason: str = "locked out, ticket 7") -> str:
    out = StringIO()
    call_command("restore_admin", "--organisation", label, "--reason", reason, stdout=out)
    return out.getvalue()


def test_works() -> None:
    organisation = make_organisation()
    owner = Caller(organisation)
    make_role(organisation, "muted", Grant("admin", "*", "deny"))
    other = add_member(organisation, "editor")
    with in_schema(organisation):
        Permission.objects.filter(role_id="admin").delete()
        Assignment.objects.create(user=owner.user.pk, role_id="muted")
        Role.objects.filter(pk="auditor").delete()
    move_on(organisation.pk)
    owner.refused(403, "forbidden", "GET", "/api/admin/roles")
    assert str(owner.user) in restore(organisation.label)
    assert len(owner.gets("/api/admin/roles")) == 5
    assert held(organisation, owner.user.pk) == {"admin"}
    assert held(organisation, other.pk) == {"operator"}
    event = Event.objects.get(organisation=organisation.pk, action="rbac_admin_restored")
    assert (event.actor_kind, event.reason) == ("system", "locked out, ticket 7")
    assert event.before == {"roleIds": ["admin", "muted"]}


def test_works_while_suspended() -> None:
    organisation = make_organisation(State.SUSPENDED)
    assert "again" in restore(organisation.label)


def test_refuses_what_it_cannot_do() -> None:
    with pytest.raises(CommandError, match="no organisation nobody-there"):
        restore("nobody-there")
    with pytest.raises(CommandError, match="no roles to restore"):
        restore(make_organisation(State.REQUESTED).label)
    with pytest.raises(CommandError, match="why"):
        restore(make_organisation().label, " ")
