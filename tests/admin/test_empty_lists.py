"""A list without rows says in our words what will stand there and what to do, and how to get back
from a search that found nothing."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from pulsecloud.staff.empty import EMPTY
from tenants.models import OutboxMail
from tests.admin import staff
from tests.admin.staff import changelist
from tests.admin.test_pages_answer import LISTS, job
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
# The audit trail and the people have rows as soon as somebody is signed in to look.
NEVER_EMPTY = {"audit_event", "tenants_user"}


def page(client: Client, model: str, query: str = "") -> str:
    return str(client.get(changelist(model) + query).content.decode())


def test_every_list_has_words_and_no_others_do() -> None:
    assert set(EMPTY) == {each._meta.label_lower for each in admin.site._registry}


def test_without_rows_it_says_what_will_be_there(client: Client) -> None:
    for model in set(LISTS) - NEVER_EMPTY:
        text = page(client, model)
        empty = EMPTY[model.replace("_", ".")]
        if empty.title not in text:
            assert "<tbody" in text, model  # this database has a row of it from its migrations
            continue
        assert empty.will.replace("'", "&#x27;") in text, model
        assert "No results found" not in text and "reset your filters" not in text, model
        assert "Nothing matches" not in text, model
        if empty.link is not None:
            assert f'href="{reverse(empty.link[1])}">{empty.link[0]}</a>' in text, model


def test_a_search_or_a_filter_that_finds_nothing_says_so(client: Client) -> None:
    make_organisation()
    found = page(client, "tenants_organisation", "?q=nobody-is-called-this")
    assert "Nothing matches" in found and "nobody-is-called-this" in found
    assert "Show all" in found and "No organisation yet" not in found
    assert "Nothing matches" in page(client, "tenants_organisation", "?state__exact=failed")
    assert "Nothing matches" in page(client, "tenants_outboxmail", "?sent=failed")
    assert not OutboxMail.objects.exists()


def test_a_link_that_would_answer_403_is_not_shown() -> None:
    text = page(staff.signed_in(staff.staff_with("view_invitation")), "tenants_invitation")
    assert "Nobody is invited yet" in text
    assert reverse("admin:tenants_invitation_add") not in text


def test_jobs_are_called_jobs(client: Client) -> None:
    """Their library's name is on no page, and neither is that of any other application."""
    number = job("failed")
    for path in (
        changelist("procrastinate_procrastinatejob"),
        reverse("admin:procrastinate_procrastinatejob_change", args=[number]),
        reverse("admin:procrastinate_procrastinatejob_change", args=[number]).replace(
            "/change/", "/again/"
        ),
    ):
        text = client.get(path).content.decode()
        assert "procrastinate job" not in text.lower() and ">Procrastinate<" not in text
        assert re.search(r'class="staff-crumb[^>]*>Jobs</a>', text), path
    assert not re.search(r'class="staff-crumb[^>]*>Tenants</a>', page(client, "tenants_invitation"))
