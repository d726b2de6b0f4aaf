"""Invitations for a domain, and many from a file, as staff make them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from audit.models import Event
from tenants import invitations
from tenants.models import Invitation, OutboxMail, User
from tests.admin import staff
from tests.admin.staff import changelist

pytestmark = pytest.mark.django_db
LIST = "tenants_invitation"


def upload(client: Client, text: str, **data: str) -> Any:
    file = SimpleUploadedFile("people.csv", text.encode(), "text/csv")
    address = reverse("admin:tenants_invitation_upload")
    return client.post(address, {"file": file, "days": "14", **data})


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_links_are_shown_once(client: Client, superuser: User) -> None:
    page = text(
        upload(client, "email,domain,seats\na@example.com,,\n,example.org,10\n", name="May")
    )
    assert page.count(f"invitation={invitations.PREFIX}") == 2
    assert "2 invitations in “May”" in page and "@example.org, 10 seats" in page
    assert set(Invitation.objects.values_list("batch", "created_by")) == {("May", superuser.pk)}
    again = text(client.get(changelist(LIST), {"q": "May"}))
    assert "a@example.com" in again and "mailboxes of example.org" in again
    assert f"invitation={invitations.PREFIX}" not in again


def test_mailed_ones_are_shown_to_nobody(client: Client) -> None:
    page = text(upload(client, "email\na@example.com\nb@example.com\n", send="on"))
    assert "2 on their way by mail" in page
    assert invitations.PREFIX not in page
    assert OutboxMail.objects.count() == 2


def test_every_wrong_line_is_named_and_nothing_is_done(client: Client) -> None:
    before = Event.objects.count()
    answer = upload(
        client, f"email,note\nnobody,x\n{staff.HOSTILE.replace(',', '')},x\n", send="on"
    )
    page = text(answer)
    assert "Nobody was invited" in page and "Line 2" in page
    assert "<script>alert" not in page
    assert (Invitation.objects.count(), OutboxMail.objects.count()) == (0, 0)
    assert Event.objects.count() == before


def test_a_form_without_a_file_says_so(client: Client) -> None:
    answer = client.post(reverse("admin:tenants_invitation_upload"), {"days": "0"})
    assert "This field is required" in text(answer)
    assert "greater than or equal to 1" in text(answer)


def test_only_who_may_invite(client: Client) -> None:
    looker = staff.signed_in(staff.staff_with("view_invitation"))
    assert upload(looker, "email\na@example.com\n").status_code == 403
    assert not Invitation.objects.exists()
    assert "invite from a CSV file" not in text(looker.get(changelist(LIST)))
    assert "invite from a CSV file" in text(client.get(changelist(LIST)))


def test_one_for_a_domain(client: Client) -> None:
    add = reverse("admin:tenants_invitation_add")
    data = {"domain": "@Example.COM", "seats": "5", "days": "14"}
    page = text(client.post(add, data))
    assert "people at example.com" in page
    assert Invitation.objects.get().domain == "example.com"
    assert "not for both" in text(client.post(add, {**data, "email": "a@example.com"}))
    assert "mail domain such as" in text(client.post(add, {**data, "domain": "nodots"}))
    sent = client.post(add, {"domain": "example.com", "send": "on", "seats": "1", "days": "14"})
    assert "An address is needed" in text(sent)
    assert Invitation.objects.count() == 1
