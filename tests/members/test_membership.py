"""Who may become what, and what goes with it (hosted-contract sections 9.1, 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from audit.actors import Actor
from audit.models import Event
from rbac.models import ApiToken
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, Organisation, Session, State
from tenants.people import membership, ownership
from tenants.schemas import in_schema
from tests.factories import (
    add_member,
    make_organisation,
    make_token,
    make_user,
    owner_of,
    put_in_state,
    sign_in,
)
from tests.members.people import assigned, invite, role_of, roles

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


def refused(act: Callable[..., Any], **named: Any) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        act(**named)
    return caught.value.status, caught.value.code


def actions(organisation: Organisation, *, success: bool = True) -> list[str]:
    events = Event.objects.filter(organisation=organisation.pk, success=success)
    return list(events.order_by("pk").values_list("action", flat=True))


def version(organisation: Organisation) -> int:
    return Organisation.objects.get(pk=organisation.pk).rbac_version


def test_joining_gives_the_role_inside_and_forgets_what_was_cached() -> None:
    organisation, user = make_organisation(), make_user()
    before = version(organisation)
    joined = membership.add(organisation=organisation, user=user, role="editor", actor=SYSTEM)
    assert joined.role == "editor" and assigned(organisation, user) == {"operator"}
    assert version(organisation) > before
    assert "member_added" in actions(organisation)


def test_joining_twice_changes_nothing() -> None:
    organisation, user = make_organisation(), make_user()
    membership.add(organisation=organisation, user=user, role="viewer", actor=SYSTEM)
    again = membership.add(organisation=organisation, user=user, role="admin", actor=SYSTEM)
    assert again.role == "viewer" and actions(organisation).count("member_added") == 1


@pytest.mark.parametrize("role", ["owner", "member", "", "Admin"])
def test_only_known_roles_are_given(role: str) -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    named = {"organisation": organisation, "role": role, "actor": SYSTEM}
    assert refused(membership.add, user=make_user(), **named) == (400, "invalid_role")
    assert refused(membership.change_role, user=user, **named) == (400, "invalid_role")


def test_a_role_change_replaces_the_role_inside_and_keeps_others() -> None:
    organisation = make_organisation()
    user = add_member(organisation, "viewer")
    with in_schema(organisation):
        from rbac.models import Assignment

        Assignment.objects.create(user=user.pk, role_id="auditor")
    actor = Actor.person(owner_of(organisation))
    membership.change_role(organisation=organisation, user=user, role="admin", actor=actor)
    assert assigned(organisation, user) == {"admin", "auditor"}
    event = Event.objects.get(organisation=organisation.pk, action="member_role_changed")
    assert (event.before, event.after) == (
        {"role": "viewer"},
        {"role": "admin", "person": str(user)},
    )


def test_the_owner_can_be_neither_demoted_nor_removed_nor_leave() -> None:
    organisation = make_organisation()
    owner, admin = owner_of(organisation), add_member(organisation, "admin")
    for actor in (Actor.person(admin), Actor.person(owner), SYSTEM):
        named = {"organisation": organisation, "user": owner, "actor": actor}
        assert refused(membership.change_role, role="admin", **named) == (
            400,
            "owner_role_immutable",
        )
        assert refused(membership.remove, **named) == (400, "owner_role_immutable")
    left = refused(
        membership.leave, organisation=organisation, user=owner, actor=Actor.person(owner)
    )
    assert left == (409, "owner_cannot_leave")
    assert role_of(organisation, owner) == "owner"


def test_nobody_changes_their_own_place_and_the_try_is_audited() -> None:
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    named = {"organisation": organisation, "user": admin, "actor": Actor.person(admin)}
    assert refused(membership.change_role, role="viewer", **named) == (
        403,
        "self_modification_denied",
    )
    assert refused(membership.remove, **named) == (403, "self_modification_denied")
    assert actions(organisation, success=False) == ["member_role_changed", "member_removed"]
    assert role_of(organisation, admin) == "admin"


@pytest.mark.covers("F33")
def test_removing_ends_roles_tokens_sessions_and_invitations() -> None:
    organisation, other = make_organisation(), make_organisation()
    admin = add_member(organisation, "admin")
    add_member(other, "viewer", admin)
    make_token(organisation, user=admin)
    for host in (organisation, other, None):
        sign_in(Client(), admin, host)
    invitation, _ = invite(organisation)
    MemberInvitation.objects.filter(pk=invitation.pk).update(invited_by=admin)
    before = version(organisation)

    membership.remove(
        organisation=organisation, user=admin, actor=Actor.person(owner_of(organisation))
    )
    assert role_of(organisation, admin) is None and role_of(other, admin) == "viewer"
    assert assigned(organisation, admin) == set() and assigned(other, admin) == {"viewer"}
    with in_schema(organisation):
        assert not ApiToken.objects.filter(user=admin.pk, revoked_at=None).exists()
    hosts = set(Session.objects.filter(user=admin.pk).values_list("host", flat=True))
    assert hosts == {other.instance_host, "localhost"}
    invitation.refresh_from_db()
    assert invitation.revoked_at is not None
    assert version(organisation) > before and "member_removed" in actions(organisation)


def test_leaving() -> None:
    organisation = make_organisation()
    user = add_member(organisation)
    membership.leave(organisation=organisation, user=user, actor=Actor.person(user))
    assert role_of(organisation, user) is None and "member_left" in actions(organisation)
    again = refused(
        membership.leave, organisation=organisation, user=user, actor=Actor.person(user)
    )
    assert again == (404, "member_not_found")


def test_ownership_moves_whole() -> None:
    organisation = make_organisation()
    owner, user = owner_of(organisation), add_member(organisation, "viewer")
    ownership.transfer_ownership(organisation=organisation, to=user, actor=Actor.person(owner))
    assert roles(organisation) == {str(user): "owner", str(owner): "admin"}
    assert assigned(organisation, user) == assigned(organisation, owner) == {"admin"}
    organisation.refresh_from_db()
    assert organisation.owner_email == user.email  # what leases for other runtimes name
    assert "ownership_transferred" in actions(organisation)


def test_ownership_is_the_owners_to_give_to_a_member_with_a_mailbox() -> None:
    organisation = make_organisation()
    owner, admin = owner_of(organisation), add_member(organisation, "admin")
    by_sso = add_member(organisation, "admin", make_user_without_mailbox())
    give = ownership.transfer_ownership
    by_admin = refused(give, organisation=organisation, to=admin, actor=Actor.person(admin))
    assert by_admin == (403, "owner_required")
    to_stranger = refused(give, organisation=organisation, to=make_user(), actor=SYSTEM)
    assert to_stranger == (400, "owner_transfer_requires_member")
    to_sso = refused(give, organisation=organisation, to=by_sso, actor=Actor.person(owner))
    assert to_sso == (400, "owner_requires_mailbox")
    give(organisation=organisation, to=owner, actor=Actor.person(owner))  # no change
    assert role_of(organisation, owner) == "owner"
    assert actions(organisation, success=False) == ["ownership_transferred"]


def make_user_without_mailbox() -> Any:
    from tenants.models import User

    return User.objects.create(email=None, name="Sam by single sign-on")


@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_people_of_an_organisation_that_is_shut_do_not_change(state: State) -> None:
    organisation = make_organisation()
    user, owner = add_member(organisation), owner_of(organisation)
    put_in_state(organisation, state)
    named = {"organisation": organisation, "actor": SYSTEM}
    for answer in (
        refused(membership.add, user=make_user(), role="viewer", **named),
        refused(membership.change_role, user=user, role="admin", **named),
        refused(membership.remove, user=user, **named),
        refused(membership.leave, user=user, **named),
        refused(ownership.transfer_ownership, to=user, **named),
    ):
        assert answer == (409, "org_not_active")
    assert roles(organisation) == {str(owner): "owner", str(user): "viewer"}


def test_what_a_receiver_cannot_do_undoes_the_change() -> None:
    from tenants import signals

    organisation, user = make_organisation(), make_user()

    def fail(**_: Any) -> None:
        raise RuntimeError("the roles could not be written")

    signals.member_added.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            membership.add(organisation=organisation, user=user, role="viewer", actor=SYSTEM)
    finally:
        signals.member_added.disconnect(fail)
    assert role_of(organisation, user) is None and assigned(organisation, user) == set()
