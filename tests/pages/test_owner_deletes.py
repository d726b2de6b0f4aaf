"""An owner deletes an organisation from the base domain, and cancels that (design section 6)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from tenants import lifecycle
from tenants.accounts import recent
from tenants.models import Organisation, Removal, State, SuspendedBy
from tests.accounts.browsing import Visitor, field
from tests.factories import add_member, make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


@pytest.fixture
def owner(organisation: Organisation) -> Visitor:
    return Visitor().sign_in(owner_of(organisation))


def state(organisation: Organisation) -> str:
    return str(Organisation.objects.get(pk=organisation.pk).state)


def form(organisation: Organisation, **changes: str) -> dict[str, str]:
    return {"label": organisation.label, "retention_days": "30", "reason": ""} | changes


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_says_what_happens_and_offers_the_data(organisation: Organisation, owner: Visitor) -> None:
    assert f"/o/{organisation.label}/delete" in text(owner.get("/"))
    page = text(owner.get(f"/o/{organisation.label}/delete"))
    for words in (
        "shut off for everybody",
        "You can cancel the deletion",
        "nobody can bring them back",
        f"/o/{organisation.label}/export",
        'value="30"',
    ):
        assert words in page
    assert state(organisation) == State.ACTIVE


def test_deletes_and_cancels(organisation: Organisation, owner: Visitor) -> None:
    sent = form(organisation, retention_days="7", reason="moving on")
    answer = owner.post(f"/o/{organisation.label}/delete", sent)
    assert (answer.status_code, answer["Location"]) == (303, "/")
    removal = Removal.objects.get(organisation=organisation)
    assert (removal.requested_by, removal.due_at - removal.requested_at) == (
        "owner",
        timedelta(days=7),
    )
    event = Event.objects.get(action="org_soft_deleted", organisation=organisation.pk)
    assert (event.actor_kind, event.reason) == ("person", "moving on")
    page = text(owner.get("/"))
    assert "will be deleted in 7 days" in page
    assert f"{removal.due_at:%-d %B %Y, %H:%M} UTC" in page
    assert "Cancel the deletion" in page
    inside = owner.get(f"/o/{organisation.label}/")
    assert inside.status_code == 403 and "is to be deleted" in text(inside)
    owner.post(f"/o/{organisation.label}/restore")
    assert state(organisation) == State.ACTIVE
    assert "will not be deleted" in text(owner.get("/"))


def test_a_suspension_comes_back(organisation: Organisation, owner: Visitor) -> None:
    owner.post(f"/o/{organisation.label}/suspend")
    assert "it is suspended again" in text(owner.get(f"/o/{organisation.label}/delete"))
    owner.post(f"/o/{organisation.label}/delete", form(organisation))
    owner.post(f"/o/{organisation.label}/restore")
    assert state(organisation) == State.SUSPENDED
    assert "suspended, as it was before" in text(owner.get("/"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"label": ""}, "This field is required"),
        ({"label": "another"}, "This is not its address"),
        ({"retention_days": "0"}, "At least 1 day"),
        ({"retention_days": "366"}, "At most 365 days"),
        ({"retention_days": "soon"}, "whole number"),
        ({"retention_days": "9" * 50}, "At most 365 days"),
        ({"reason": "x" * 1001}, "at most 1000"),
        ({"reason": "a\x00b"}, "Null characters"),
    ],
)
def test_a_slip_deletes_nothing(
    organisation: Organisation, owner: Visitor, wrong: dict[str, str], told: str
) -> None:
    answer = owner.post(f"/o/{organisation.label}/delete", form(organisation, **wrong))
    assert answer.status_code == 400
    assert told in text(answer)
    assert state(organisation) == State.ACTIVE


def test_asks_for_a_recent_sign_in(organisation: Organisation, owner: Visitor) -> None:
    session = owner.at("localhost").session
    session["_signed_in_at"] = time.time() - recent.SECONDS - 1
    session.save()
    path = f"/o/{organisation.label}/delete"
    for answer in (owner.get(path), owner.post(path, form(organisation))):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/reauthenticate/?next=%2Fo%2F")
    assert state(organisation) == State.ACTIVE


@pytest.mark.parametrize("verb", ["delete", "restore"])
def test_is_for_the_owner_only(organisation: Organisation, verb: str) -> None:
    path = f"/o/{organisation.label}/{verb}"
    admin = Visitor().sign_in(add_member(organisation, "admin"))
    for visitor in (admin, Visitor().sign_in(make_user())):
        assert visitor.post(path, form(organisation)).status_code == 404
    unknown = admin.post(f"/o/no-such-label/{verb}", form(organisation))
    assert unknown.status_code == 404
    anonymous = Visitor().post(path, form(organisation))
    assert anonymous.headers["Location"].startswith("/accounts/login/")
    assert "Delete" not in text(admin.get("/"))
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    page = text(admin.get("/"))
    assert "To be deleted" in page and "Cancel the deletion" not in page


@pytest.mark.covers("H6")
def test_what_staff_decided_is_not_the_owners_to_cancel(
    organisation: Organisation, owner: Visitor
) -> None:
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    page = text(owner.get("/"))
    assert "Only they can cancel that" in page and "Cancel the deletion" not in page
    assert f"/o/{organisation.label}/export" in page
    owner.post(f"/o/{organisation.label}/restore")
    assert state(organisation) == State.PENDING_DELETION
    assert "not yours to cancel" in text(owner.get("/"))


@pytest.mark.covers("F65")
def test_when_its_time_is_over_nothing_is_offered(
    organisation: Organisation, owner: Visitor
) -> None:
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    Removal.objects.filter(organisation=organisation).update(due_at=timezone.now())
    page = text(owner.get("/"))
    assert "cannot be brought back" in page and "Cancel the deletion" not in page
    owner.post(f"/o/{organisation.label}/restore")
    assert "Its retention is over" in text(owner.get("/"))
    assert state(organisation) == State.PENDING_DELETION


def test_one_that_is_being_deleted_has_no_page(organisation: Organisation, owner: Visitor) -> None:
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    assert owner.get(f"/o/{organisation.label}/delete")["Location"] == "/"


@pytest.mark.covers("F64")
def test_who_comes_second_is_told(organisation: Organisation, owner: Visitor) -> None:
    """The page is about an active organisation; by the time of the button staff suspended it, or had
    its deletion planned."""
    path = f"/o/{organisation.label}/delete"
    sent = form(organisation, seen=field(owner.get(path), "seen"))
    lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    assert owner.post(path, sent).status_code == 303
    assert state(organisation) == State.SUSPENDED
    assert "Somebody else was faster: it is suspended now" in text(owner.get("/"))
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    assert owner.post(path, sent).status_code == 303
    assert "is pending deletion now" in text(owner.get("/"))
    assert Removal.objects.get(organisation=organisation).requested_by == "platform"


@pytest.mark.covers("F76")
@pytest.mark.parametrize("verb", ["delete", "restore"])
def test_off_it_is_404(
    settings: Any, organisation: Organisation, owner: Visitor, verb: str
) -> None:
    settings.HOSTED_MODE = False
    answer = owner.post(f"/o/{organisation.label}/{verb}", form(organisation))
    assert (answer.status_code, answer.content) == (404, b"Not found\n")
