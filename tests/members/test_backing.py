"""Whoever sent an invitation stands behind it: it gives no more than they may give (F70, 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.actors import Actor
from audit.models import Event
from rbac import assignments
from rbac.authorizer import Grant
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, Organisation, OutboxMail, User
from tenants.people import invitation_pace, member_invitations, membership
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of, unique
from tests.members.people import Caller, assigned, mailed_token, role_of, told
from tests.members.test_invitations import accept, refused, waited
from tests.rbac.people import PLATFORM, make_role

pytestmark = pytest.mark.django_db


def invited_by(
    organisation: Organisation, user: User, role: str = "admin"
) -> tuple[MemberInvitation, str]:
    """The invitation and the token of its mailed link."""
    email = f"{unique('guest')}@example.test"
    invitation = member_invitations.invite(
        organisation=organisation, email=email, role=role, actor=Actor.person(user), by=user
    )
    return invitation, mailed_token(email)


def denied_something(organisation: Organisation, user: User, action: str = "write") -> None:
    """An admin from whom one thing is taken, which no door asks about."""
    make_role(organisation, "hands-off", Grant(action, "backups", "deny", {"site": "north"}))
    assignments.set_roles(organisation, user.pk, ["admin", "hands-off"], actor=PLATFORM)


def refusals(organisation: Organisation, action: str) -> list[tuple[str, str, str]]:
    events = Event.objects.filter(organisation=organisation.pk, action=action, success=False)
    return list(events.order_by("pk").values_list("actor_kind", "actor_id", "reason"))


def no_longer_member(organisation: Organisation, user: User) -> None:
    membership.leave(organisation=organisation, user=user, actor=Actor.person(user))


def demoted(organisation: Organisation, user: User) -> None:
    actor = Actor.person(owner_of(organisation))
    membership.change_role(organisation=organisation, user=user, role="viewer", actor=actor)


def other_roles(organisation: Organisation, user: User) -> None:
    assignments.set_roles(organisation, user.pk, ["operator"], actor=PLATFORM)


def account_closed(_: Organisation, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def account_gone(organisation: Organisation, user: User) -> None:
    MemberInvitation.objects.filter(invited_by=user).update(invited_by=None)


# What happens to who invited, and the places that they could give before and cannot now.
LOSSES: list[tuple[Callable[[Organisation, User], None], str]] = [
    (no_longer_member, "admin"), (no_longer_member, "viewer"),
    (demoted, "admin"), (demoted, "viewer"),
    (other_roles, "admin"), (other_roles, "viewer"),
    (denied_something, "admin"),
    (account_closed, "viewer"), (account_gone, "viewer"),
]  # fmt: skip


@pytest.mark.parametrize("role", ["admin", "viewer"])
@pytest.mark.parametrize("by", ["api", "page"])
def test_an_admin_who_is_denied_something_invites_nobody_who_is_not(by: str, role: str) -> None:
    """Else they would invite a second mailbox of theirs, and do there what is denied to them."""
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    denied_something(organisation, admin, "read")
    email = f"{unique('second')}@example.test"
    body = {"email": email, "role": role}
    if by == "api":
        call = Caller(admin, organisation)
        answer: Any = call("POST", f"/api/orgs/{organisation.pk}/members", body)
        assert told(answer) == (403, "escalation_denied")
    else:
        host = organisation.instance_host
        answer = Visitor().sign_in(admin, host).post("/people/invite", body, host)
        assert answer.status_code == 403 and "so you may not give" in answer.content.decode()
    assert not MemberInvitation.objects.filter(organisation=organisation).exists()
    assert not OutboxMail.objects.filter(recipient=email).exists()
    assert refusals(organisation, "member_invited") == [
        ("person", str(admin.pk), "escalation_denied")
    ]


@pytest.mark.covers("F70")
@pytest.mark.parametrize(
    ("loses", "role"), LOSSES, ids=[f"{loses.__name__}-{role}" for loses, role in LOSSES]
)
def test_what_the_sender_may_not_give_any_more_nobody_joins_with(
    loses: Callable[[Organisation, User], None], role: str
) -> None:
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    invitation, token = invited_by(organisation, admin, role)
    by_hand, _ = invited_by(organisation, admin, role)
    guest = make_user(by_hand.email)
    loses(organisation, admin)
    visitor = Visitor()
    assert visitor.post(f"/join/{token}").status_code == 404
    assert not visitor.is_signed_in()
    assert not User.objects.filter(email=invitation.email).exists()
    answer = Caller(guest)("POST", f"/api/org-invitations/{organisation.pk}/accept")
    assert told(answer) == (404, "invitation_not_found")
    assert role_of(organisation, guest) is None and assigned(organisation, guest) == set()
    refused_ones = refusals(organisation, "member_invitation_accepted")
    assert [each[:2] for each in refused_ones] == [("anonymous", ""), ("person", str(guest.pk))]
    assert {each[2] for each in refused_ones} <= {"forbidden", "escalation_denied"}
    # Nothing was used up: whoever may give the role sends it again, and stands behind it then.
    by_hand.refresh_from_db()
    owner = owner_of(organisation)
    assert by_hand.accepted_at is None
    again = member_invitations.resend(invitation=waited(by_hand), actor=Actor.person(owner))
    assert again.invited_by == owner
    assert accept(again, guest).role == role


def test_it_counts_again_when_its_sender_may_give_the_role_again() -> None:
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    _, token = invited_by(organisation, admin)
    denied_something(organisation, admin)
    assert refused(member_invitations.join, token=token) == (404, "invitation_not_found")
    assignments.set_roles(organisation, admin.pk, ["admin"], actor=PLATFORM)
    user, joined = member_invitations.join(token=token)
    assert joined.role == "admin" and assigned(organisation, user) == {"admin"}


def test_who_sends_it_again_stands_behind_it_from_then_on() -> None:
    organisation = make_organisation()
    first, second = add_member(organisation, "admin"), add_member(organisation, "admin")
    invitation, _ = invited_by(organisation, first)
    again = member_invitations.resend(invitation=waited(invitation), actor=Actor.person(second))
    mail = OutboxMail.objects.filter(recipient=invitation.email).latest("pk")
    assert again.invited_by == second and f"{second} invites you" in mail.body
    demoted(organisation, first)
    assert accept(again, make_user(invitation.email)).role == "admin"


def test_an_invitation_that_software_sends_again_keeps_its_sender() -> None:
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    invitation, _ = invited_by(organisation, admin)
    again = member_invitations.resend(invitation=waited(invitation), actor=PLATFORM)
    assert again.invited_by == admin
    demoted(organisation, admin)
    later = refused(member_invitations.resend, invitation=waited(again), actor=PLATFORM)
    assert later == (403, "forbidden")


@pytest.mark.parametrize("verb", ["invite", "send again"])
@pytest.mark.parametrize("loses", [no_longer_member, demoted, other_roles, denied_something])
def test_who_loses_the_right_meanwhile_is_refused_although_the_door_let_them_in(
    verb: str, loses: Callable[[Organisation, User], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read a moment before does not count: asked again with the organisation locked."""
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    actor, invitation = Actor.person(admin), None
    if verb == "send again":
        invitation = waited(invited_by(organisation, owner_of(organisation))[0])
    count = invitation_pace.count

    def meanwhile(*arguments: Any) -> None:
        count(*arguments)
        loses(organisation, admin)

    monkeypatch.setattr(invitation_pace, "count", meanwhile)
    with pytest.raises(Problem) as caught:
        if invitation is None:
            invited_by(organisation, admin)
        else:
            member_invitations.resend(invitation=invitation, actor=actor)
    assert caught.value.status == 403
    sent = MemberInvitation.objects.filter(organisation=organisation)
    assert [(each.sends, each.invited_by) for each in sent] == (
        [(1, owner_of(organisation))] if invitation else []
    )
    action = "member_invitation_resent" if invitation else "member_invited"
    assert refusals(organisation, action) == [("person", str(admin.pk), caught.value.code)]


def test_what_may_not_be_given_costs_the_mailbox_nothing() -> None:
    """Else whoever may invite nobody would keep an address from being invited by others."""
    organisation = make_organisation()
    admin = add_member(organisation, "admin")
    denied_something(organisation, admin)
    email = f"{unique('guest')}@example.test"
    call = Caller(admin, organisation)
    for _ in range(invitation_pace.MAILS_PER_MAILBOX_PER_HOUR + 1):
        body = {"email": email, "role": "admin"}
        answer = call("POST", f"/api/orgs/{organisation.pk}/members", body)
        assert told(answer) == (403, "escalation_denied")
    owner = Caller(owner_of(organisation), organisation)
    assert owner("POST", f"/api/orgs/{organisation.pk}/members", body).status_code == 202
