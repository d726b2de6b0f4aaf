"""Roles follow membership: joining, changing and leaving, through the signals of `tenants`."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import transaction

from audit.actors import Actor
from rbac import tokens
from rbac.authorizer import Grant
from rbac.models import Assignment, Change, Role
from tenants import signals
from tenants.http.problems import Problem
from tenants.models import Membership, Organisation, User
from tenants.people import membership
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, make_user
from tests.rbac.people import make_role, member_with

pytestmark = pytest.mark.usefixtures("db")
ACTOR = Actor.system("test")


def join(organisation: Organisation, role: str, user: User | None = None) -> User:
    user = user or make_user()
    with transaction.atomic():
        Membership.objects.create(organisation=organisation, user=user, role=role)
        signals.member_added.send(
            Membership, organisation=organisation, user_id=user.pk, role=role, actor=ACTOR
        )
    return user


def leave(organisation: Organisation, user: User) -> None:
    with transaction.atomic():
        left = Membership.objects.get(organisation=organisation, user=user)
        left.delete()
        signals.member_removed.send(
            Membership,
            organisation=organisation,
            user_id=user.pk,
            role=left.role,
            actor=Actor.person(user),
        )


def change(organisation: Organisation, user: User, before: str, after: str) -> None:
    with transaction.atomic():
        signals.member_changed.send(
            Membership,
            organisation=organisation,
            user_id=user.pk,
            before=before,
            after=after,
            actor=ACTOR,
        )


def roles(organisation: Organisation, user_id: UUID) -> set[str]:
    with in_schema(organisation):
        return set(Assignment.objects.filter(user=user_id).values_list("role_id", flat=True))


def version(organisation: Organisation) -> int:
    return Organisation.objects.get(pk=organisation.pk).rbac_version


@pytest.mark.parametrize(
    ("member", "role"), [("admin", "admin"), ("editor", "operator"), ("viewer", "viewer")]
)
def test_who_joins_has_the_builtin_role_of_their_place(member: str, role: str) -> None:
    organisation = make_organisation()
    before = version(organisation)
    user = join(organisation, member)
    assert roles(organisation, user.pk) == {role}
    assert version(organisation) > before


def test_joining_before_provisioning_waits_for_the_roles_step() -> None:
    organisation = make_organisation("requested")
    join(organisation, "admin")


def test_a_new_place_swaps_the_builtin_role_and_leaves_custom_ones() -> None:
    organisation = make_organisation()
    user = join(organisation, "admin")
    with in_schema(organisation):
        Role.objects.create(id="night-shift", name="Night shift")
        Assignment.objects.create(user=user.pk, role_id="night-shift")
    before = version(organisation)
    change(organisation, user, "admin", "viewer")
    assert roles(organisation, user.pk) == {"viewer", "night-shift"}
    assert version(organisation) > before
    with in_schema(organisation):
        row = Change.objects.latest("pk")
    assert row.action == "user_roles_updated"
    assert row.old_value == {"roleIds": ["admin", "night-shift"]}
    assert row.new_value == {"roleIds": ["night-shift", "viewer"]}
    assert row.actor == "system:test"


def test_handing_over_ownership_keeps_admin_on_both_sides() -> None:
    organisation = make_organisation()
    user = join(organisation, "admin")
    change(organisation, user, "admin", "owner")
    assert roles(organisation, user.pk) == {"admin"}


def test_who_leaves_has_no_roles_and_no_live_token() -> None:
    organisation, elsewhere = make_organisation(), make_organisation()
    user = join(organisation, "editor")
    join(elsewhere, "viewer", user)
    secret, kept = make_token(organisation, user=user), make_token(elsewhere, user=user)
    of_others = make_token(organisation)
    before = version(organisation)
    leave(organisation, user)
    assert roles(organisation, user.pk) == set()
    assert version(organisation) > before
    with in_schema(organisation):
        assert tokens.peek(secret) is None
        assert tokens.peek(of_others) is not None
        row = Change.objects.latest("pk")
    assert (row.action, row.old_value) == ("user_unassigned", {"roleIds": ["operator"]})
    assert row.actor == f"person:{user.pk}"
    assert roles(elsewhere, user.pk) == {"viewer"}
    with in_schema(elsewhere):
        assert tokens.peek(kept) is not None


def test_a_member_who_leaves_and_comes_back_has_only_the_new_place() -> None:
    organisation = make_organisation()
    user = add_member(organisation, "admin")
    leave(organisation, user)
    join(organisation, "viewer", user)
    assert roles(organisation, user.pk) == {"viewer"}


def test_a_new_owner_keeps_no_role_that_denies() -> None:
    organisation = make_organisation()
    user = join(organisation, "admin")
    make_role(organisation, "base", Grant("read", "users", "deny"))
    make_role(organisation, "muted", parent="base")
    make_role(organisation, "helper", Grant("read", "nodes"))
    with in_schema(organisation):
        for role in ("muted", "helper"):
            Assignment.objects.create(user=user.pk, role_id=role)
    change(organisation, user, "admin", "owner")
    assert roles(organisation, user.pk) == {"admin", "helper"}


@pytest.mark.parametrize("verb", ["add", "promote", "demote", "remove"])
def test_who_manages_people_only_makes_and_unmakes_no_administrator(verb: str) -> None:
    """The rule of rbac.escalation holds for memberships too: they give roles."""
    organisation = make_organisation()
    make_role(organisation, "manager", Grant("admin", "users"), Grant("read", "*"))
    manager = Actor.person(member_with(organisation, "manager"))
    admin, viewer = add_member(organisation, "admin"), add_member(organisation, "viewer")
    attempts: dict[str, Callable[[], object]] = {
        "add": lambda: membership.add(
            organisation=organisation, user=make_user(), role="admin", actor=manager
        ),
        "promote": lambda: membership.change_role(
            organisation=organisation, user=viewer, role="editor", actor=manager
        ),
        "demote": lambda: membership.change_role(
            organisation=organisation, user=admin, role="viewer", actor=manager
        ),
        "remove": lambda: membership.remove(organisation=organisation, user=admin, actor=manager),
    }
    with pytest.raises(Problem, match="escalation_denied"):
        attempts[verb]()
    members = Membership.objects.filter(organisation=organisation)
    assert dict(members.exclude(role="owner").values_list("user", "role")) == {
        UUID(manager.id): "viewer",
        admin.pk: "admin",
        viewer.pk: "viewer",
    }
    assert roles(organisation, admin.pk) == {"admin"}
    # What they have, they give and take.
    membership.add(organisation=organisation, user=make_user(), role="viewer", actor=manager)
    membership.remove(organisation=organisation, user=viewer, actor=manager)


def test_a_failure_undoes_the_change_of_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = make_organisation()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the log is full")

    monkeypatch.setattr("rbac.changes.log", broken)
    user = make_user()
    with pytest.raises(RuntimeError):
        join(organisation, "admin", user)
    assert not Membership.objects.filter(organisation=organisation, user=user).exists()
    assert roles(organisation, user.pk) == set()
