"""Members' verbs at the same moment: always one owner, always one membership each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.actors import Actor
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, Membership, Organisation
from tenants.people import member_invitations, membership, ownership
from tests.factories import add_member, make_organisation, make_user, owner_of, unique
from tests.members.people import assigned, invite, race, roles

SYSTEM = Actor.system("test")


def codes(outcomes: list[object]) -> list[str]:
    """Of what was refused; anything else that was raised fails the test."""
    errors = [each for each in outcomes if isinstance(each, Exception)]
    assert all(isinstance(error, Problem) for error in errors), errors
    return sorted(error.code for error in errors if isinstance(error, Problem))


def owners(organisation: Organisation) -> int:
    return Membership.objects.filter(organisation=organisation, role="owner").count()


@pytest.mark.parametrize("attempt", range(3))
def test_a_transfer_against_the_removal_of_the_new_owner(live_db: None, attempt: int) -> None:
    organisation = make_organisation()
    owner, user = owner_of(organisation), add_member(organisation, "editor")
    outcomes = race(
        lambda: ownership.transfer_ownership(
            organisation=organisation, to=user, actor=Actor.person(owner)
        ),
        lambda: membership.remove(organisation=organisation, user=user, actor=SYSTEM),
    )
    assert owners(organisation) == 1
    if str(user) in roles(organisation):
        assert codes(outcomes) == ["owner_role_immutable"]
        assert roles(organisation) == {str(user): "owner", str(owner): "admin"}
    else:
        assert codes(outcomes) == ["owner_transfer_requires_member"]
        assert roles(organisation) == {str(owner): "owner"}


def test_ownership_given_to_two_at_once_goes_to_one(live_db: None) -> None:
    organisation = make_organisation()
    actor = Actor.person(owner_of(organisation))
    people = [add_member(organisation, "admin") for _ in range(4)]

    def to(index: int) -> Callable[[], object]:
        return lambda: ownership.transfer_ownership(
            organisation=organisation, to=people[index], actor=actor
        )

    outcomes = race(*(to(index) for index in range(4)))
    assert codes(outcomes) == ["owner_required"] * 3
    assert owners(organisation) == 1
    new = owner_of(organisation)
    organisation.refresh_from_db()
    assert new in people and organisation.owner_email == new.email
    assert all(assigned(organisation, each) == {"admin"} for each in people)


def test_a_transfer_against_the_owner_leaving_twice(live_db: None) -> None:
    organisation = make_organisation()
    owner, user = owner_of(organisation), add_member(organisation, "admin")
    actor = Actor.person(owner)

    def leave() -> None:
        membership.leave(organisation=organisation, user=owner, actor=actor)

    outcomes = race(
        leave,
        lambda: ownership.transfer_ownership(organisation=organisation, to=user, actor=actor),
        leave,
    )
    assert set(codes(outcomes)) <= {"owner_cannot_leave", "member_not_found"}
    assert owner_of(organisation) == user and owners(organisation) == 1
    assert (str(owner) in roles(organisation)) == bool(assigned(organisation, owner))


def test_the_only_owner_leaving_twice_stays(live_db: None) -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)

    def leave() -> None:
        membership.leave(organisation=organisation, user=owner, actor=Actor.person(owner))

    assert codes(race(leave, leave)) == ["owner_cannot_leave"] * 2
    assert roles(organisation) == {str(owner): "owner"}


@pytest.mark.covers("F70")
def test_two_accepts_make_one_membership(live_db: None) -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation, role="editor")
    user = make_user(invitation.email)

    def by_hand() -> object:
        return member_invitations.accept(invitation=invitation, user=user, actor=Actor.person(user))

    def by_link() -> object:
        return member_invitations.join(token=token)

    outcomes = race(by_hand, by_link, by_hand, by_link)
    assert codes(outcomes) == ["invitation_not_found"] * 3
    assert roles(organisation)[str(user)] == "editor"
    assert assigned(organisation, user) == {"operator"}


@pytest.mark.covers("F70")
def test_an_accept_against_a_revocation_is_decided_once(live_db: None) -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    outcomes = race(
        lambda: member_invitations.join(token=token),
        lambda: member_invitations.revoke(invitation=invitation, actor=SYSTEM),
    )
    assert codes(outcomes) == ["invitation_not_found"]
    invitation.refresh_from_db()
    assert (invitation.accepted_at is None) != (invitation.revoked_at is None)
    assert (invitation.email in roles(organisation)) == (invitation.accepted_at is not None)


def test_inviting_one_mailbox_twice_at_once_sends_one_mail(live_db: None) -> None:
    organisation = make_organisation()
    owner, email = owner_of(organisation), f"{unique('guest')}@example.test"

    def ask() -> object:
        return member_invitations.invite(
            organisation=organisation,
            email=email,
            role="viewer",
            actor=Actor.person(owner),
            by=owner,
        )

    assert codes(race(ask, ask, ask)) == []
    (invitation,) = MemberInvitation.objects.filter(organisation=organisation)
    assert invitation.sends == 1


def test_a_role_change_against_a_removal_leaves_no_roles_behind(live_db: None) -> None:
    organisation = make_organisation()
    user = add_member(organisation, "viewer")
    outcomes = race(
        lambda: membership.change_role(
            organisation=organisation, user=user, role="admin", actor=SYSTEM
        ),
        lambda: membership.remove(organisation=organisation, user=user, actor=SYSTEM),
    )
    assert codes(outcomes) in ([], ["member_not_found"])
    assert str(user) not in roles(organisation)
    assert assigned(organisation, user) == set()
