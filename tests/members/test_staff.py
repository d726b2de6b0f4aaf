"""Staff see who is invited to an organisation."""

from __future__ import annotations

import pytest
from django.urls import reverse

from audit.actors import Actor
from tenants.people import member_invitations
from tests.admin import staff
from tests.factories import make_organisation
from tests.members.people import invite

pytestmark = pytest.mark.django_db


def test_open_invitations_stand_on_the_organisations_page() -> None:
    organisation = make_organisation()
    invitation, token = invite(organisation)
    over, _ = invite(organisation)
    member_invitations.revoke(invitation=over, actor=Actor.system("test"))
    client = staff.signed_in(staff.superuser())
    page = client.get(
        reverse("admin:tenants_organisation_change", args=[organisation.pk]), {"tab": "people"}
    )
    text = page.content.decode()
    assert page.status_code == 200 and invitation.email in text
    assert over.email not in text and token not in text
