"""An invitation for a mail domain lets in who proves a mailbox there, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from tenants import invitation_batches, invitations
from tenants.invitation_batches import Batch, InvalidBatch
from tenants.models import Invitation, Organisation, State
from tests.factories import unique
from tests.rollout.standing import ACTOR
from tests.rollout.test_stages import at_once
from tests.signup.asking import ask, counts, invitation, mailbox, wish

pytestmark = pytest.mark.covers("F70")


def at(domain: str) -> str:
    return f"{unique('person')}@{domain}"


@pytest.mark.django_db
def test_a_mailbox_of_the_domain_gets_a_seat_and_has_to_be_proved() -> None:
    invited = invitation(domain="@Example.COM")
    assert (invited.invitation.domain, str(invited.invitation)) == ("example.com", "@example.com")
    email = at("EXAMPLE.com")
    ask(wish(email=email, invitation=invited.token))
    organisation = Organisation.objects.get(owner_email__iexact=email)
    assert (organisation.state, organisation.invitation) == (State.REQUESTED, invited.invitation)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "domain",
    ["example.org", "sub.example.com", "notexample.com", "example.com.evil.test", "xample.com"],
)
def test_others_get_nothing_and_see_no_difference(domain: str) -> None:
    invited = invitation(domain="example.com")
    before = counts()
    answer = ask(wish(email=at(domain), invitation=invited.token))
    assert answer.status_code == 202
    assert counts() == before
    invited.invitation.refresh_from_db()
    assert invited.invitation.used == 0


@pytest.mark.django_db
def test_a_quoted_at_sign_does_not_move_the_domain() -> None:
    invited = invitation(domain="example.com")
    before = counts()
    ask(wish(email='"x@example.com"@evil.test', invitation=invited.token))
    ask(wish(email="x@example.com@evil.test", invitation=invited.token))
    assert counts() == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    "domain",
    ["example", "exa mple.com", "-a.com", "a..com", ".com", "a.c", "1.2.3.4", "köln.de", "a@b.com",
     "x" * 64 + ".com", "%.com", "ban\u212a.com", "example.com.", "ex\u0430mple.com", "com",
     "example.com\n.org", "example\u3002com"],
)  # fmt: skip
def test_what_is_no_mail_domain_is_refused(domain: str) -> None:
    with pytest.raises(invitations.InvalidInvitation):
        invitation(domain=domain)
    assert not Invitation.objects.exists()


@pytest.mark.django_db
def test_an_address_and_a_domain_are_not_both() -> None:
    with pytest.raises(invitations.InvalidInvitation):
        invitation(mailbox(), domain="example.com")
    made = invitation(mailbox()).invitation
    with pytest.raises(IntegrityError), transaction.atomic():
        Invitation.objects.filter(pk=made.pk).update(domain="example.com")


@pytest.mark.django_db
@pytest.mark.parametrize("options", [{"send": True}, {"canary": True}])
def test_a_domain_proves_no_mailbox(options: dict[str, Any]) -> None:
    with pytest.raises(invitations.InvalidInvitation):
        invitation(domain="example.com", **options)


def test_seats_of_a_domain_are_not_raced(live_db: None) -> None:
    domain = f"{unique('race')}.test".lower()
    seats = invitation(domain=domain, seats=3)

    def take(number: int) -> object:
        with transaction.atomic():
            return invitations.redeem(token=seats.token, email=f"p{number}@{domain}")

    outcomes = at_once(*[lambda number=number: take(number) for number in range(9)])
    refused = [each for each in outcomes if isinstance(each, invitations.InvitationRefused)]
    assert len(refused) == 6
    assert Invitation.objects.get(pk=seats.invitation.pk).used == 3


def test_a_file_sent_twice_at_once_is_one_batch(live_db: None) -> None:
    name = unique("rush")
    text = f"email,domain\n{name}@example.com,\n,{name}.example.com\n".encode()
    outcomes = at_once(
        *[lambda: invitation_batches.invite_all(content=text, actor=ACTOR, name=name)] * 3
    )
    assert sum(isinstance(each, Batch) for each in outcomes) == 1, outcomes
    assert sum(isinstance(each, InvalidBatch) for each in outcomes) == 2, outcomes
    assert Invitation.objects.filter(batch=name).count() == 2
