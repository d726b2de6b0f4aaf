"""An owner suspends and lifts from the base domain, which stays open meanwhile (design section 6)."""

from __future__ import annotations

import pytest

from audit.actors import Actor
from audit.models import Event
from tenants import lifecycle
from tenants.models import Organisation, State, SuspendedBy
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db


def state(organisation: Organisation) -> str:
    return Organisation.objects.get(pk=organisation.pk).state


def test_works() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    assert f"/o/{organisation.label}/suspend" in visitor.get("/").content.decode()
    visitor.post(f"/o/{organisation.label}/suspend")
    assert state(organisation) == State.SUSPENDED
    page = visitor.get("/").content.decode()
    assert "Suspended by its owner" in page and "Lift the suspension" in page
    visitor.post(f"/o/{organisation.label}/lift")
    assert state(organisation) == State.ACTIVE
    assert "is active again" in visitor.get("/").content.decode()
    actions = Event.objects.filter(organisation=organisation.pk).values_list("action", flat=True)
    assert {"org_suspended", "org_unsuspended"} <= set(actions)


def test_what_the_platform_suspended_is_not_the_owners_to_lift() -> None:
    organisation = make_organisation()
    lifecycle.suspend(
        organisation=organisation, by=SuspendedBy.PLATFORM, actor=Actor.system("test")
    )
    visitor = Visitor().sign_in(owner_of(organisation))
    page = visitor.get("/").content.decode()
    assert "Suspended by the people who run this PulseCloud" in page
    assert "Lift the suspension" not in page
    visitor.post(f"/o/{organisation.label}/lift")
    assert state(organisation) == State.SUSPENDED
    assert "not yours to lift" in visitor.get("/").content.decode()


@pytest.mark.parametrize("verb", ["suspend", "lift"])
def test_is_for_the_owner_only(verb: str) -> None:
    organisation = make_organisation()
    admin = Visitor().sign_in(add_member(organisation, "admin"))
    outsider = Visitor().sign_in(make_user())
    for visitor in (admin, outsider):
        assert visitor.post(f"/o/{organisation.label}/{verb}").status_code == 404
    assert "Suspend" not in admin.get("/").content.decode()
    anonymous = Visitor().post(f"/o/{organisation.label}/{verb}")
    assert anonymous.headers["Location"].startswith("/accounts/login/")
    assert Visitor().get(f"/o/{organisation.label}/{verb}").status_code == 405
    assert state(organisation) == State.ACTIVE


def test_needs_its_csrf_token() -> None:
    organisation = make_organisation()
    visitor = Visitor(careful=True).sign_in(owner_of(organisation))
    refused = visitor.post(f"/o/{organisation.label}/suspend")
    assert refused.status_code == 403
    assert "This form is too old" in refused.content.decode()
    assert state(organisation) == State.ACTIVE
