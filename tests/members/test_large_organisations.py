"""An organisation is shown with a bounded number of its people, and read once for a change."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import api
from tenants.models import Membership
from tests.factories import add_member, make_organisation, owner_of
from tests.members.people import Caller, invite

pytestmark = pytest.mark.django_db


def test_the_first_of_them_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PEOPLE", 2)
    organisation = make_organisation()
    owner = owner_of(organisation)
    viewers = [add_member(organisation) for _ in range(3)]
    for _ in range(3):
        invite(organisation)
    # Not the first of them any more, and still told.
    latest = Membership.objects.filter(organisation=organisation).latest("added_at").added_at
    Membership.objects.filter(user=owner).update(added_at=latest)
    call, path = Caller(owner, organisation), f"/api/orgs/{organisation.pk}"
    for body in (call("GET", path).json(), call("GET", "/api/orgs").json()[0]):
        assert [each["userId"] for each in body["members"]] == [str(v.pk) for v in viewers[:2]]
        assert len(body["pendingInvitations"]) == 2
        assert body["ownerUserId"] == str(owner.pk)
    paged = call("GET", f"{path}/members?limit=2&offset=2")
    assert paged["X-Total-Count"] == "4" and len(paged.json()) == 2
    assert call("GET", f"{path}/invitations")["X-Total-Count"] == "3"


def test_a_change_reads_the_people_once() -> None:
    organisation = make_organisation(display_name="Acme")
    add_member(organisation)
    call = Caller(owner_of(organisation), organisation)
    path = f"/api/orgs/{organisation.pk}"
    tag = call("GET", path)["ETag"]
    with CaptureQueriesContext(connection) as captured:
        changed = call("PUT", path, {"displayName": "  Acme Networks "}, HTTP_IF_MATCH=tag)
    people = [q for q in captured if 'ORDER BY "tenants_membership"."added_at"' in q["sql"]]
    assert len([q for q in people if '"role" =' not in q["sql"]]) == 1
    now = call("GET", path)
    assert changed.json() == now.json() and changed["ETag"] == now["ETag"]
    assert now.json()["displayName"] == "Acme Networks"
