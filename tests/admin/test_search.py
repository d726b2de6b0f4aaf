"""One search box for everything that staff look for."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin import staff
from tests.admin.staff import HOSTILE
from tests.admin.test_pages_answer import job
from tests.factories import make_organisation, owner_of, unique

pytestmark = pytest.mark.django_db


def search(client: Client, term: str) -> Any:
    return client.get(reverse("admin:search"), {"s": term})


def page_of(organisation: Any) -> str:
    return reverse("admin:tenants_organisation_change", args=[organisation.pk])


def test_a_label_or_an_id_leads_straight_there(client: Client) -> None:
    organisation = make_organisation()
    for term in (organisation.label, str(organisation.pk), f"  {organisation.label.upper()} "):
        answer = search(client, term)
        assert answer.status_code == 302 and answer["Location"] == page_of(organisation), term


def test_finds_organisations_and_people_of_one_address(client: Client) -> None:
    organisation = make_organisation()
    text = search(client, organisation.owner_email).content.decode()
    assert page_of(organisation) in text
    assert reverse("admin:tenants_user_change", args=[owner_of(organisation).pk]) in text


def test_finds_registrations_and_jobs(client: Client) -> None:
    organisation = staff.connected()
    instance = organisation.registration.instance_id
    assert f"/relay/registration/{organisation.pk}/" in search(client, instance)["Location"]
    number = job("failed")
    address = reverse("admin:procrastinate_procrastinatejob_change", args=[number])
    answer = search(client, str(number).zfill(6))
    assert address in answer.headers.get("Location", "") + answer.content.decode()


def test_former_organisations_and_canaries_are_found_too(client: Client) -> None:
    for organisation in (make_organisation("expired"), make_organisation(canary=True)):
        assert search(client, organisation.label)["Location"] == page_of(organisation)


def test_many_are_cut_and_lead_to_the_list(client: Client) -> None:
    name = unique("crowd")
    for _ in range(10):
        make_organisation("requested", display_name=name)
    text = search(client, name).content.decode()
    assert text.count("/admin/tenants/organisation/") == 8 + 2  # the menu's, and "More of these"
    assert f"q={name}&amp;which=all" in text


def test_too_short_or_nothing_found_is_said(client: Client) -> None:
    assert "at least 2 characters" in search(client, "a").content.decode()
    assert "at least 2 characters" in search(client, "").content.decode()
    assert "Nothing is called" in search(client, "no-such-thing-anywhere").content.decode()


@pytest.mark.parametrize("term", [HOSTILE, "%%", "\\\\", "' OR 1=1 --", "x" * 4000, "9" * 300])
def test_hostile_terms_are_answered(client: Client, term: str) -> None:
    answer = search(client, term)
    assert answer.status_code in (200, 302)
    assert '<script>alert("x")' not in answer.content.decode()


def test_what_somebody_may_not_see_is_not_found() -> None:
    organisation = make_organisation()
    viewer = staff.signed_in(staff.staff_with("view_user"))
    assert "Nothing is called" in search(viewer, organisation.label).content.decode()
    answer = search(viewer, organisation.owner_email)
    assert "/tenants/user/" in answer["Location"]
