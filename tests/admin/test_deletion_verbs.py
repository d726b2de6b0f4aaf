"""Staff delete and restore: what the page says, asks for and does; and who presses second is told."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from tenants import lifecycle
from tenants.accounts import recent
from tenants.models import Organisation, Removal, State, SuspendedBy
from tests.admin.staff import changelist, signed_in, superuser
from tests.admin.test_pages_answer import ACTOR
from tests.admin.test_verbs import ORGANISATIONS, text, verb
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
REASON = {"confirmed": "yes", "reason": "asked by the customer"}


@pytest.fixture
def client() -> Client:
    return signed_in(superuser())


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


def state(organisation: Organisation) -> str:
    return str(Organisation.objects.get(pk=organisation.pk).state)


def shown(page: Any, organisation: Organisation) -> dict[str, str]:
    """What the page carries about what it was about."""
    name = f"seen_{organisation.pk}"
    found = re.search(rf'name="{name}" value="(\w+)"', text(page))
    assert found
    return {name: found[1]}


def test_says_what_happens_and_asks_for_reason_and_retention(
    client: Client, organisation: Organisation
) -> None:
    page = text(client.get(verb(organisation, "soft_delete")))
    for words in ("answer 403 at once", "Restore puts back", "removed for good", 'value="30"'):
        assert words in page
    for wrong in ({"reason": " "}, {"retention_days": "0"}, {"retention_days": "366"}):
        data = REASON | {"retention_days": "30"} | wrong
        assert client.post(verb(organisation, "soft_delete"), data).status_code == 200
        assert state(organisation) == State.ACTIVE


def test_deletes_and_restores(client: Client, organisation: Organisation) -> None:
    data = REASON | {"retention_days": "7"}
    answer = client.post(verb(organisation, "soft_delete"), data, follow=True)
    assert "Will be deleted: " in text(answer)
    removal = Removal.objects.get(organisation=organisation)
    assert (removal.requested_by, removal.organisation.retention_days) == ("platform", 7)
    event = Event.objects.get(action="org_soft_deleted", organisation=organisation.pk)
    assert (event.actor_kind, event.reason) == ("staff", "asked by the customer")
    answer = client.post(verb(organisation, "restore"), REASON, follow=True)
    assert "Restored: " in text(answer)
    assert state(organisation) == State.ACTIVE


def test_offers_what_fits_the_state(client: Client, organisation: Organisation) -> None:
    assert "It applies to none" in text(client.get(verb(organisation, "restore")))
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    assert "It applies to none" in text(client.get(verb(organisation, "soft_delete")))
    page = text(client.get(verb(organisation, "restore")))
    assert "cancels a deletion that its owner asked for" in page
    Removal.objects.update(due_at=Removal.objects.get().requested_at)
    assert "past its retention" in text(client.get(verb(organisation, "restore")))


@pytest.mark.parametrize("name", ["suspend", "soft_delete"])
def test_a_dangerous_page_asks_for_a_recent_sign_in(organisation: Organisation, name: str) -> None:
    client = signed_in(superuser())
    session = client.session
    session["_signed_in_at"] = time.time() - recent.SECONDS - 1
    session.save()
    for answer in (
        client.get(verb(organisation, name)),
        client.post(verb(organisation, name), REASON | {"retention_days": "30"}),
    ):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/reauthenticate/?next=")
    assert state(organisation) == State.ACTIVE
    assert client.get(verb(organisation, "lift")).status_code == 200


@pytest.mark.covers("F64")
@pytest.mark.parametrize(
    ("first", "second", "before"),
    [
        ("lift", "soft_delete", State.SUSPENDED),
        ("soft_delete", "lift", State.SUSPENDED),
        ("suspend", "soft_delete", State.ACTIVE),
        ("soft_delete", "suspend", State.ACTIVE),
        ("restore", "restore", State.PENDING_DELETION),
    ],
)
def test_of_two_who_look_at_the_same_page_the_second_is_told(
    first: str, second: str, before: str
) -> None:
    organisation = make_organisation(before)
    one, two = signed_in(superuser()), signed_in(superuser())
    pages = [
        (who, name, shown(who.get(verb(organisation, name)), organisation))
        for who, name in ((one, first), (two, second))
    ]
    said = [
        text(
            who.post(
                verb(organisation, name), REASON | {"retention_days": "30"} | seen, follow=True
            )
        )
        for who, name, seen in pages
    ]
    after = state(organisation)
    assert after != before
    assert "left alone" not in said[0] and "Nothing to do" not in said[0]
    assert "Nothing to do" in said[1]
    decided = Event.objects.filter(organisation=organisation.pk, reason=REASON["reason"])
    assert decided.count() == 1


def test_of_several_chosen_those_that_changed_are_left_alone(client: Client) -> None:
    here, there = make_organisation(), make_organisation()
    data = {"_selected_action": [str(here.pk), str(there.pk)], "action": "soft_delete_chosen"}
    page = client.post(changelist(ORGANISATIONS), data)
    seen = shown(page, here) | shown(page, there)
    lifecycle.suspend(organisation=there, by=SuspendedBy.PLATFORM, actor=ACTOR)
    answer = client.post(
        changelist(ORGANISATIONS),
        data | REASON | {"retention_days": "30"} | seen,
        follow=True,
    )
    assert "was changed meanwhile, and is suspended now" in text(answer)
    assert (state(here), state(there)) == (State.PENDING_DELETION, State.SUSPENDED)
