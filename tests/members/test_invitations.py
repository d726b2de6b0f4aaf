"""Invitations: who can use them, for how long, how often they are sent (F70)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from tenants import lifecycle
from tenants.http.problems import Problem
from tenants.links import digest
from tenants.models import MemberInvitation, OutboxMail, State
from tenants.people import invitation_pace, member_invitations, membership
from tenants.residue import residue
from tests.factories import add_member, make_organisation, make_user, owner_of, put_in_state, unique
from tests.members.people import invite, mailed_token, role_of

pytestmark = pytest.mark.django_db


def refused(act: Callable[..., Any], **named: Any) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        act(**named)
    return caught.value.status, caught.value.code


def accept(invitation: MemberInvitation, user: Any) -> Any:
    return member_invitations.accept(invitation=invitation, user=user, actor=Actor.person(user))


def waited(invitation: MemberInvitation) -> MemberInvitation:
    """As if its last mail was a while ago."""
    MemberInvitation.objects.filter(pk=invitation.pk).update(
        sent_at=timezone.now() - invitation_pace.PAUSE
    )
    invitation.refresh_from_db()
    return invitation


def test_the_mail_says_who_invites_where_and_as_what() -> None:
    organisation = make_organisation(display_name="Basement Lab")
    invitation, token = invite(organisation, role="editor")
    mail = OutboxMail.objects.get(recipient=invitation.email)
    assert mail.subject == "Join Basement Lab on PulseCloud"
    assert f"{owner_of(organisation)} invites you" in mail.body
    assert "as editor" in mail.body and f"http://localhost:8000/join/{token}" in mail.body
    assert invitation.token_hash == digest(token)  # and the token itself is stored nowhere
    left = invitation.expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


@pytest.mark.covers("F70")
def test_is_accepted_once_by_the_mailbox_that_it_was_sent_to_in_any_case() -> None:
    organisation = make_organisation()
    user = make_user(f"{unique('Ann')}@Example.test")
    invitation, _ = invite(organisation, (user.email or "").upper(), "editor")
    accept(invitation, user)
    assert role_of(organisation, user) == "editor"
    membership.leave(organisation=organisation, user=user, actor=Actor.person(user))
    assert refused(accept, invitation=invitation, user=user) == (404, "invitation_not_found")
    assert role_of(organisation, user) is None


@pytest.mark.covers("F70")
def test_nobody_else_can_accept() -> None:
    organisation = make_organisation()
    invitation, _ = invite(organisation)
    for other in (make_user(), owner_of(make_organisation())):
        assert refused(accept, invitation=invitation, user=other) == (404, "invitation_not_found")
        assert role_of(organisation, other) is None
    unproved = make_user(invitation.email, email_verified_at=None)
    assert refused(accept, invitation=invitation, user=unproved) == (403, "mailbox_not_proved")
    assert list(member_invitations.of_person(unproved)) == []


@pytest.mark.covers("F70")
@pytest.mark.parametrize("over", ["expired", "revoked", "declined", "sent again", "closed account"])
def test_what_is_over_is_over(over: str) -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    user = make_user(invitation.email, is_active=over != "closed account")
    actor = Actor.person(owner_of(organisation))
    if over == "expired":
        MemberInvitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())
    elif over == "revoked":
        member_invitations.revoke(invitation=invitation, actor=actor)
    elif over == "declined":
        member_invitations.decline(invitation=invitation, actor=Actor.person(user))
    elif over == "sent again":
        member_invitations.resend(invitation=waited(invitation), actor=actor)
    assert refused(member_invitations.join, token=token) == (404, "invitation_not_found")
    if over != "sent again":
        assert refused(accept, invitation=invitation, user=user) == (404, "invitation_not_found")
    assert role_of(organisation, user) is None


def test_sent_again_it_works_by_the_new_link() -> None:
    organisation = make_organisation()
    invitation, old = invite(organisation)
    MemberInvitation.objects.filter(pk=invitation.pk).update(
        expires_at=timezone.now() - timedelta(days=30)
    )
    member_invitations.resend(
        invitation=waited(invitation), actor=Actor.person(owner_of(organisation))
    )
    new = mailed_token(invitation.email)
    assert new != old and member_invitations.find(old) is None
    user, joined = member_invitations.join(token=new)
    assert user.email == invitation.email and joined.role == "viewer"


def test_inviting_again_renews_and_changes_the_role() -> None:
    organisation = make_organisation()
    first, token = invite(organisation, role="viewer")
    second, same = invite(organisation, first.email.upper(), "admin")
    assert second.pk == first.pk and second.role == "admin"
    assert same == token and second.sends == 1  # no second mail within five minutes
    third, fresh = invite(organisation, waited(second).email, "editor")
    assert third.pk == first.pk and third.sends == 2 and fresh != token


def test_the_pause_and_the_hourly_limits(settings: LazySettings) -> None:
    organisation = make_organisation()
    actor = Actor.person(owner_of(organisation))
    invitation, _ = invite(organisation)
    resend = member_invitations.resend
    assert refused(resend, invitation=invitation, actor=actor) == (429, "sent_recently")
    for _ in range(2):
        invitation = resend(invitation=waited(invitation), actor=actor)
    # The third mail was the last of this hour, whoever else invites.
    assert refused(resend, invitation=waited(invitation), actor=actor) == (429, "too_many_mails")
    other = make_organisation()
    with pytest.raises(Problem) as caught:
        invite(other, invitation.email)
    assert caught.value.code == "too_many_mails"

    settings.MEMBER_INVITATIONS_PER_HOUR = 2
    lively = make_organisation()
    for _ in range(2):
        invite(lively)
    with pytest.raises(Problem) as caught:
        invite(lively)
    assert caught.value.code == "too_many_invitations"


def test_an_organisation_has_a_hundred_open_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_invitations, "MOST_OPEN", 2)
    organisation = make_organisation()
    first, _ = invite(organisation)
    invite(organisation)
    with pytest.raises(Problem) as caught:
        invite(organisation)
    assert caught.value.code == "too_many_open_invitations"
    member_invitations.revoke(invitation=first, actor=Actor.system("test"))
    invite(organisation)


def test_who_is_a_member_or_no_address_is_not_invited() -> None:
    organisation = make_organisation()
    owner, member = owner_of(organisation), add_member(organisation)
    named = {"organisation": organisation, "actor": Actor.person(owner), "by": owner}
    act = member_invitations.invite
    assert refused(act, email=member.email, role="viewer", **named) == (409, "already_member")
    assert refused(act, email="not an address", role="viewer", **named) == (400, "invalid_user")
    assert refused(act, email="a@example.test", role="owner", **named) == (400, "invalid_role")


def test_a_shut_organisation_invites_nobody_and_shows_none_of_its_invitations() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    user = make_user(invitation.email)
    put_in_state(organisation, State.SUSPENDED)
    assert list(member_invitations.of_person(user)) == []
    assert member_invitations.find(token) is None
    assert refused(accept, invitation=invitation, user=user) == (409, "org_not_active")
    owner = owner_of(organisation)
    again = refused(
        member_invitations.invite,
        organisation=organisation,
        email="someone@example.test",
        role="viewer",
        actor=Actor.person(owner),
        by=owner,
    )
    assert again == (409, "org_not_active")


def test_no_invitation_goes_out_without_an_address_of_ours(settings: LazySettings) -> None:
    organisation = make_organisation()
    settings.PUBLIC_URL = ""
    with pytest.raises(Problem) as caught:
        invite(organisation)
    assert (caught.value.status, caught.value.code) == (503, "public_url_missing")


def test_goes_with_a_purged_organisation() -> None:
    organisation = make_organisation(canary=True)
    invite(organisation)
    lifecycle.purge(organisation=organisation, actor=Actor.system("test"), reason="drill")
    assert not MemberInvitation.objects.filter(organisation=organisation).exists()
    assert residue(organisation.pk) == []


def test_everything_is_audited() -> None:
    organisation = make_organisation()
    invitation, _ = invite(organisation)
    actor = Actor.person(owner_of(organisation))
    member_invitations.resend(invitation=waited(invitation), actor=actor)
    member_invitations.revoke(invitation=invitation, actor=actor, reason="a mistake")
    events = Event.objects.filter(organisation=organisation.pk, subject__startswith="invitation ")
    assert list(events.order_by("pk").values_list("action", "reason")) == [
        ("member_invited", ""),
        ("member_invitation_resent", ""),
        ("member_invitation_revoked", "a mistake"),
    ]
    assert all((e.after or {})["email"] == invitation.email for e in events)
