"""An organisation's page: one part at a time, and first of all why it is blocked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from audit.actors import Actor
from pulsecloud.staff import organisation_tabs
from tenants import lifecycle, why
from tenants.models import Organisation, SuspendedBy, User
from tests.admin import staff
from tests.admin.staff import HOSTILE
from tests.admin.test_pages_answer import a_backup
from tests.factories import add_member, make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


def shown(client: Client, organisation: Organisation, tab: str = "", **query: Any) -> str:
    page = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    answer = client.get(page, {"tab": tab, **query} if tab else query)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.fixture
def organisation() -> Organisation:
    return staff.connected()


@pytest.mark.parametrize("tab", organisation_tabs.TABS)
def test_each_tab_answers_and_says_which_it_is(
    client: Client, organisation: Organisation, tab: str
) -> None:
    page = shown(client, organisation, tab)
    assert re.search(rf'aria-current="page">{tab.capitalize()}<', page)


def test_an_unknown_tab_is_the_first(client: Client, organisation: Organisation) -> None:
    assert 'aria-current="page">Overview<' in shown(client, organisation, HOSTILE)


def test_tabs_hold_what_they_are_named_for(client: Client, organisation: Organisation) -> None:
    member = add_member(organisation)
    a_backup(organisation)
    expected = {
        "timeline": ("Became active", "Trial began", "registration"),
        "people": (str(member), str(owner_of(organisation)), "Phones and API tokens"),
        "billing": ("Last leases", "Trial ends"),
        "relay": ("Identity fingerprint", organisation.registration.instance_id),
        "backups": ("Last backed up", "412 rows"),
        "audit": ("org_activated", "All events"),
    }
    for tab, words in expected.items():
        page = shown(client, organisation, tab)
        for word in words:
            assert word in page, (tab, word)


def test_an_organisation_without_backup_is_told_of(
    client: Client, organisation: Organisation
) -> None:
    assert "There is no backup of it" in shown(client, organisation, "backups")


class TestWhyBlocked:
    def test_an_open_door(self, client: Client, organisation: Organisation) -> None:
        page = shown(client, organisation)
        assert "Nothing blocks it: the door is open" in page
        assert "2 phones connected now" in page

    def test_names_the_check_and_offers_the_verb(self, client: Client) -> None:
        organisation = make_organisation()
        lifecycle.suspend(
            organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR, reason=HOSTILE
        )
        page = shown(client, organisation)
        assert "It was suspended by owner" in page
        assert '<script>alert("x")' not in page
        assert f"/admin/tenants/organisation/{organisation.pk}/lift/" in page
        assert f"organisation lift {organisation.label}" in page
        assert "Customers get 403" in page

    def test_who_may_only_look_is_offered_nothing(self) -> None:
        organisation = make_organisation("suspended")
        viewer = staff.signed_in(staff.staff_with("view_organisation"))
        page = shown(viewer, organisation)
        assert "It was suspended by platform" in page and "/lift/" not in page

    def test_for_a_member(self, client: Client, organisation: Organisation) -> None:
        member = add_member(organisation)
        User.objects.filter(pk=member.pk).update(is_active=False)
        assert "The account of" in shown(client, organisation, **{"for": str(member.pk)})
        assert "the door is open" in shown(client, organisation)

    @pytest.mark.parametrize("nobody", ["x", HOSTILE, "0" * 400])
    def test_for_nonsense_it_asks_for_the_owner(
        self, client: Client, organisation: Organisation, nobody: str
    ) -> None:
        assert "its owner" in shown(client, organisation, **{"for": nobody})

    def test_for_a_stranger_it_asks_for_the_owner(
        self, client: Client, organisation: Organisation
    ) -> None:
        assert "its owner" in shown(client, organisation, **{"for": str(make_user().pk)})

    def test_a_database_that_does_not_answer_is_said(
        self, client: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: Any, **__: Any) -> None:
            raise OperationalError("timeout")

        monkeypatch.setattr(why, "diagnose", away)
        assert "nobody can say" in shown(client, organisation)
