"""What stays open while an organisation is shut (design section 6), what background work does for it,
and that no route is left out of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.urls import URLPattern, URLResolver, get_resolver
from procrastinate.contrib.django import app

from audit.models import Event
from billing.models import Lease
from rbac.models import ApiToken
from relay.models import Registration
from relay.server.models import BlockedInstance
from tenants import provisioning
from tenants.models import Organisation, OutboxMail, State
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.doors.place import Place
from tests.doors.test_table import DOORS
from tests.tenants.test_door_views import OPEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("quiet")]
SHUT = [State.SUSPENDED, State.PENDING_DELETION]

# Routes of the base domain that the table of doors does not hold, each with the reason.
NO_DOOR = {
    "": "the list of a person's organisations, where a suspended one says so",
    "signup": "makes a new organisation",
    "signup/verify/<str:token>": "proves the mailbox of a new one",
    "signup/progress": "shows a new one's progress",
    "signup/status": "shows a new one's progress",
    "sign-in/<str:token>": "signs in on the base domain, which stays open",
    "o/<str:label>/suspend": "its owner's, who may always shut it",
    "o/<str:label>/lift": "its owner's, who may lift what they did",
    "o/<str:label>/delete": "its owner's, who may always ask for that",
    "o/<str:label>/restore": "its owner's, who may cancel what they asked for",
    "o/<str:label>/export": "its owner's, who may always take the data along",
    "o/<str:label>/leave": "ends a membership; takes nothing from the organisation",
    "receipts/<uuid:receipt_id>": "shows what was deleted of one that is gone",
    "receipts/<uuid:receipt_id>.json": "the same as a file",
    "invitations/<uuid:invitation_id>/decline": "ends an invitation",
    "api/public/signup": "makes a new organisation",
    "api/public/magic-link/request": "mails a link; using it is the door",
    "api/admin/orgs/<str:organisation_id>/suspend": "life cycle: answers 409 by itself",
    "api/admin/orgs/<str:organisation_id>/unsuspend": "life cycle: ends the suspension",
    "api/admin/orgs/<str:organisation_id>/soft-delete": "life cycle: answers 409 by itself",
    "api/admin/orgs/<str:organisation_id>/restore": "life cycle: cancels a deletion",
    "api/hosted/organizations": "the platform's list, with states",
    "api/admin/orgs/<str:organisation_id>/purge": "life cycle: of canaries",
    "api/orgs": "the list of a person's organisations, with their states",
    "api/org-invitations": "the list of a person's invitations; none of a shut organisation",
    "api/org-invitations/<str:organisation_id>": "declines an invitation",
    "api/docs": "documentation",
    "api/docs/<str:name>": "documentation",
    "api/<str:name>.yaml": "documentation",
}
# Below these everything is about the person, or for staff.
ABOUT_PEOPLE = ("accounts/", "admin/")


@pytest.fixture
def quiet(settings: Any) -> None:
    settings.PUBLIC_URL = "http://localhost:8000"
    settings.RELAY_PUBLIC_URL = "ws://127.0.0.1:8001"


def routes(resolver: Any, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry, URLPattern):
            yield route


def test_no_route_is_left_out() -> None:
    """On an organisation's host every other route stands behind the one door (test_door_views)."""
    doors = {route for door in DOORS for route in door.routes}
    base = {
        route
        for route in routes(get_resolver(live_settings.ROOT_URLCONF))
        if not route.startswith(ABOUT_PEOPLE)
    }
    assert base - doors - set(NO_DOOR) == set(), "neither a door nor said to be none"
    assert set(NO_DOOR) - base == set(), "said to be no door, and not there"
    inside = {"sign-out"}  # ends a session
    assert set(OPEN) - inside - doors == set()


@pytest.mark.parametrize("state", SHUT)
def test_its_people_still_sign_in_and_see_why(state: str) -> None:
    """On the base domain, by password session, sign-in link and magic link; none leads inside."""
    place = Place()
    place.shut(state)
    page = place.base("GET", "/")
    assert page.status_code == 200 and place.organisation.display_name in page.content.decode()
    for path in (f"/sign-in/{place.sign_in_link}", place.magic_path):
        visitor = Visitor()
        answer = visitor.post(path)
        assert answer.status_code in (302, 303) and visitor.is_signed_in()
        inside = visitor.get(f"/o/{place.organisation.label}/")
        assert inside.status_code == 403 and "is suspended" in inside.content.decode()
        assert not visitor.is_signed_in(place.host)
    mine = place.base("GET", "/api/orgs").json()
    assert [each["id"] for each in mine] == [str(place.organisation.pk)]
    assert place.base("GET", "/accounts/").status_code == 200


def test_its_owner_lifts_their_own_suspension_and_phones_are_as_before() -> None:
    place = Place()
    place.shut(State.SUSPENDED)
    place.base("POST", f"/o/{place.organisation.label}/lift", {"form": {}})
    for secret in (place.phone, place.token):
        assert place.program(secret, "GET", "/api/organisation").status_code == 200
    with in_schema(place.organisation):
        assert not ApiToken.objects.filter(revoked_at__isnull=False).exists()


@pytest.mark.covers("F76", "H22")
@pytest.mark.parametrize("path", ["/", "/api/organisation", "/tokens", "/sso/"])
def test_with_hosted_mode_off_the_host_is_not_there(settings: Any, path: str) -> None:
    place = Place()
    settings.HOSTED_MODE = False
    ways = [
        place.session("GET", path),
        place.program(place.token, "GET", path),
        place.stranger(place.host, "GET", path),
        place.stranger("no-such-label.localhost", "GET", path),
    ]
    said = {(way.status_code, way.headers["Content-Type"], way.content) for way in ways}
    assert len(said) == 1
    status, kind, _ = said.pop()
    assert (status, kind.partition(";")[0]) == (404, "text/plain")


@pytest.mark.covers("H22")
@pytest.mark.parametrize("state", SHUT)
@pytest.mark.parametrize("path", ["/", "/api/organisation", "/devices", "/api/security/tokens"])
def test_strangers_see_no_state(state: str, path: str) -> None:
    place = Place()
    place.provider.delete()
    before = place.stranger(place.host, "GET", path)
    place.shut(state)
    after = place.stranger(place.host, "GET", path)
    for wrong in ("", "ab" * 32):
        answer = place.program(wrong, "GET", "/api/organisation")
        assert answer.status_code == 401
    assert (before.status_code, before.content) == (after.status_code, after.content)


# --- background work that acts for an organisation ----------------------------------------------

JOBS = {
    "tenants.tasks.provision": "only ever works on one that is being provisioned",
    "tenants.tasks.deliver": "delivers mail that was posted before",
    "tenants.tasks.sweep": "revives jobs; takes up provisioning and purging",
    "tenants.tasks.tidy": "deletes what is out of date",
    "tenants.tasks.reap": "reminds owners in time, and deletes what is due",
    "tenants.backups.tasks.back_up_due": "copies what is there; changes nothing of it",
    "tenants.backups.tasks.expire_backups": "removes copies that are out of date",
    "billing.tasks.forget_retired_keys": "is about no organisation",
    "rbac.tasks.forget_tokens": "deletes ended tokens",
    "rbac.tasks.forget_changes": "deletes old rows of the change log",
}


def snapshot(organisation: Organisation) -> dict[str, Any]:
    """What no job may move while an organisation is shut."""
    row: dict[str, Any] = dict(Organisation.objects.filter(pk=organisation.pk).values().get())
    del row["changed_at"]
    with in_schema(organisation):
        tokens = list(ApiToken.objects.order_by("pk").values())
    return {
        "row": row,
        "tokens": tokens,
        "leases": Lease.objects.filter(organisation=organisation).count(),
        "registration": Registration.objects.filter(organisation=organisation).values().get(),
        "blocked": BlockedInstance.objects.filter(organisation=organisation.pk).count(),
        "mail": OutboxMail.objects.count(),
        "events": Event.objects.filter(organisation=organisation.pk).count(),
    }


def test_every_job_is_known() -> None:
    """A new one has to say what it does for an organisation that is shut. Those that read or write
    the trail, and count limits, act for none."""
    app.perform_import_paths()  # type: ignore[no-untyped-call]
    ours = ("tenants.", "billing.", "rbac.", "relay.")
    assert {name for name in app.tasks if name.startswith(ours)} == set(JOBS)


@pytest.mark.parametrize("state", SHUT)
def test_jobs_leave_a_shut_organisation_alone(state: str) -> None:
    place = Place()
    place.shut(state)
    before = snapshot(place.organisation)
    provisioning.run(place.organisation.pk)
    for name in set(JOBS) - {"tenants.tasks.provision", "tenants.tasks.deliver"}:
        app.tasks[name](timestamp=0)
    assert snapshot(place.organisation) == before
    assert before["blocked"] == 1
