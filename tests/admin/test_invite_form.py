"""Inviting one mailbox with the form."""

from __future__ import annotations

from django.urls import reverse

from audit.models import Event
from tenants import invitations
from tenants.models import Invitation, OutboxMail
from tests.admin import staff
from tests.factories import unique
from tests.rollout.standing import ACTOR
from tests.rollout.test_stages import at_once


def test_the_form_invites_a_mailbox_once(live_db: None) -> None:
    """A button that is pressed twice sends one mail; the second answer says why."""
    person, email = staff.superuser(), f"{unique('twice')}@example.com"
    windows = [staff.signed_in(person) for _ in range(3)]
    client = windows[0]
    data = {"email": email, "send": "on", "seats": "1", "days": "3", "reason": "pilot"}
    address = reverse("admin:tenants_invitation_add")
    answers = at_once(*[lambda each=each: each.post(address, data) for each in windows])
    assert sorted(each.status_code for each in answers) == [200, 200, 302]  # type: ignore[attr-defined]
    (made,) = Invitation.objects.filter(email=email)
    assert OutboxMail.objects.filter(recipient=email).count() == 1
    event = Event.objects.get(action="invitation_created", subject=str(made.pk))
    assert (event.reason, event.actor_kind) == ("pilot", "staff")
    assert (
        "Revoke that first"
        in client.post(address, data | {"email": email.upper()}).content.decode()
    )
    invitations.revoke(invitation=made, actor=ACTOR)
    assert client.post(address, data).status_code == 302
