"""The four built-in roles, and who gets which when an organisation is made."""

from __future__ import annotations

import pytest

from rbac.authorizer import decide, grants_of
from rbac.builtin import ROLE_OF_MEMBER, seed
from rbac.models import Assignment, Change, Permission, Role
from rbac.provisioning import RolesStep
from tenants.models import MemberRole, Membership, State
from tenants.schemas import create_schema, in_schema
from tests.factories import add_member, make_organisation, owner_of

pytestmark = pytest.mark.django_db

# hosted-contract section 10.2, word for word.
CONTRACT = {
    "admin": {("admin", "*")},
    "operator": {
        ("read", "*"),
        ("write", "nodes"),
        ("write", "vms"),
        ("write", "containers"),
        ("write", "alerts"),
    },
    "viewer": {("read", "*")},
    "auditor": {
        ("read", "audit_logs"),
        ("read", "nodes"),
        ("read", "alerts"),
        ("read", "compliance"),
    },
}


def held() -> dict[str, set[tuple[str, str]]]:
    return {
        role.id: {(p.action, p.resource) for p in role.permissions.all()}
        for role in Role.objects.all()
    }


def test_are_the_contracts() -> None:
    with in_schema(make_organisation()):
        assert held() == CONTRACT
        assert all(role.is_builtin for role in Role.objects.all())
        assert set(Permission.objects.values_list("effect", flat=True)) == {"allow"}


def test_seeding_again_changes_nothing() -> None:
    with in_schema(make_organisation()):
        before = list(Permission.objects.order_by("pk").values())
        seed()
        assert list(Permission.objects.order_by("pk").values()) == before


def test_seeding_puts_right_what_was_changed() -> None:
    with in_schema(make_organisation()):
        Permission.objects.create(role_id="viewer", action="admin", resource="*")
        Permission.objects.filter(role_id="operator", resource="vms").update(effect="deny")
        Permission.objects.filter(role_id="auditor").delete()
        Role.objects.filter(id="viewer").update(parent_id="admin", is_builtin=False)
        seed()
        assert held() == CONTRACT
        assert Role.objects.get(id="viewer").parent is None


def test_the_owner_is_administrator() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    with in_schema(organisation):
        assert list(Assignment.objects.values_list("user", "role")) == [(owner.pk, "admin")]
        assert decide(grants_of(owner.pk), "delete", "anything", {})
        change = Change.objects.get()
    assert (change.action, change.actor) == ("user_roles_updated", "system:provisioning")


@pytest.mark.parametrize(
    ("member", "role"),
    [("owner", "admin"), ("admin", "admin"), ("editor", "operator"), ("viewer", "viewer")],
)
def test_membership_maps_to_roles(member: str, role: str) -> None:
    assert ROLE_OF_MEMBER[MemberRole(member)] == role


def test_the_step_can_be_repeated_and_undone() -> None:
    organisation = make_organisation()
    step = RolesStep()
    step.do(organisation)
    with in_schema(organisation):
        assert held() == CONTRACT
        assert Assignment.objects.count() == 1
    step.undo(organisation)
    step.undo(organisation)
    with in_schema(organisation):
        assert not Role.objects.exists()
        assert not Assignment.objects.exists()


def test_undo_without_a_schema_does_nothing() -> None:
    RolesStep().undo(make_organisation(State.PROVISIONING))


def test_without_an_owner_the_step_fails() -> None:
    organisation = make_organisation(State.PROVISIONING)
    create_schema(organisation.schema_name)
    Membership.objects.filter(organisation=organisation).delete()
    with pytest.raises(RuntimeError, match="no owner"):
        RolesStep().do(organisation)


def test_roles_of_one_organisation_are_not_anothers() -> None:
    """The isolation guarantees of section 10.1: role, assignment and log entry stay inside."""
    mine, other = make_organisation(), make_organisation()
    person = add_member(mine, MemberRole.ADMIN)
    Membership.objects.create(organisation=other, user=person, role=MemberRole.VIEWER)
    with in_schema(mine):
        Role.objects.create(id="night-shift", name="Night shift")
        Change.objects.create(
            action="role_created", entity_type="role", entity_id="night-shift", actor="test"
        )
    with in_schema(other):
        Assignment.objects.create(user=person.pk, role_id="viewer")
        assert not Role.objects.filter(id="night-shift").exists()
        assert not Change.objects.filter(entity_id="night-shift").exists()
        assert not decide(grants_of(person.pk), "write", "nodes", {})
        Role.objects.filter(id="operator").delete()
    with in_schema(mine):
        assert decide(grants_of(person.pk), "write", "nodes", {})
        assert Role.objects.filter(id="operator").exists()
