"""POST /api/admin/orgs/<id>/suspend, unsuspend, purge (hosted-contract sections 2, 5.2-5.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.utils import timezone

from audit.models import Event
from tenants import locks, purging, schemas
from tenants.models import Organisation, Removal, State, SuspendedBy, User
from tests.factories import add_member, make_organisation, make_user, owner_of
from tests.provisioning.looking import rows_about

pytestmark = pytest.mark.django_db
HOST: dict[str, Any] = {"HTTP_HOST": "localhost"}
VERBS = ["suspend", "unsuspend", "purge"]


def signed_in(user: User | None, *, careful: bool = False) -> Client:
    client = Client(enforce_csrf_checks=careful)
    if user is not None:
        client.force_login(user)
        session = client.session
        session["_host"] = "localhost"
        session.save()
    return client


def post(
    client: Client, organisation: Organisation | str, verb: str, body: Any = b"", **rest: Any
) -> Any:
    pk = organisation.pk if isinstance(organisation, Organisation) else organisation
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(
        f"/api/admin/orgs/{pk}/{verb}", data, content_type="application/json", **HOST, **rest
    )


def staff() -> User:
    user = make_user(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_organisation"))
    return user


@contextmanager
def held_by_another(name: str) -> Iterator[None]:
    """That advisory lock, by a connection of its own."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [locks.key(name)])
        yield
    finally:
        other.close()


def told(answer: Any) -> tuple[int, str]:
    body = answer.json()
    assert body["status_code"] == answer.status_code
    return answer.status_code, body["code"]


def test_the_owner_suspends_and_lifts() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    client = signed_in(owner)
    answer = post(client, organisation, "suspend", {"reason": "  holidays "})
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] == str(organisation.pk)
    assert body["status"] == "suspended"
    assert body["suspendReason"] == "holidays"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["suspendedAt"])
    assert body["ownerUserId"] == str(owner.pk)
    assert body["members"][0]["role"] == "owner"
    assert (body["pendingInvitations"], body["sharedResources"]) == ([], [])
    organisation.refresh_from_db()
    assert organisation.suspended_by == SuspendedBy.OWNER
    answer = post(client, organisation, "unsuspend")
    assert answer.status_code == 200
    assert answer.json()["status"] == "active"
    assert not {"suspendedAt", "suspendReason"} & answer.json().keys()


def test_staff_suspend_as_the_platform_and_the_owner_cannot_lift_it() -> None:
    organisation = make_organisation()
    assert post(signed_in(staff()), organisation, "suspend").status_code == 200
    answer = post(signed_in(owner_of(organisation)), organisation, "unsuspend")
    assert told(answer) == (403, "suspended_by_other")
    assert post(signed_in(staff()), organisation, "unsuspend").status_code == 200
    event = Event.objects.get(organisation=organisation.pk, action="org_suspended")
    assert event.actor_kind == "staff"


@pytest.mark.parametrize("verb", VERBS)
def test_anonymous_callers_get_401_before_anything_else(settings: Any, verb: str) -> None:
    organisation = make_organisation()
    for hosted in (True, False):
        settings.HOSTED_MODE = hosted
        for target in (str(organisation.pk), str(uuid4()), "default", "bad id"):
            answer = post(Client(), target, verb)
            assert told(answer) == (401, "authentication_required")
        assert Client().get(f"/api/admin/orgs/{organisation.pk}/{verb}", **HOST).status_code == 401


@pytest.mark.covers("F76")
@pytest.mark.parametrize("verb", VERBS)
def test_hosted_mode_off_answers_a_plain_404(settings: Any, verb: str) -> None:
    organisation = make_organisation()
    settings.HOSTED_MODE = False
    client = signed_in(staff())
    answer = post(client, organisation, verb)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert client.get(f"/api/admin/orgs/{organisation.pk}/{verb}", **HOST).status_code == 405


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "who", ["outsider", "member", "owner of another", "staff without the right"]
)
def test_others_are_refused(verb: str, who: str) -> None:
    organisation = make_organisation(canary=True)
    if who == "member":
        user = add_member(organisation, "admin")
    elif who == "owner of another":
        user = owner_of(make_organisation())
    else:
        user = make_user(is_staff=who.startswith("staff"))
    assert told(post(signed_in(user), organisation, verb)) == (403, "access_denied")
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE


@pytest.mark.parametrize("verb", VERBS)
def test_ids_that_lead_nowhere(verb: str) -> None:
    client = signed_in(staff())
    assert told(post(client, str(uuid4()), verb)) == (404, "org_not_found")
    assert told(post(client, "default", verb)) == (404, "org_not_found")
    assert told(post(client, "x" * 65, verb)) == (400, "invalid_org_id")
    assert told(post(client, "a b", verb)) == (400, "invalid_org_id")
    assert told(post(client, "ünknown", verb)) == (400, "invalid_org_id")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"reason": 5}', b"\xff", b"x" * 70_000])
def test_bodies_that_do_not_fit(body: bytes) -> None:
    organisation = make_organisation()
    answer = post(signed_in(staff()), organisation, "suspend", body)
    assert told(answer) == (400, "invalid_request")


def test_a_bad_body_comes_before_a_conflict() -> None:
    organisation = make_organisation(State.SUSPENDED)
    client = signed_in(staff())
    assert told(post(client, organisation, "suspend", b"{")) == (400, "invalid_request")
    assert told(post(client, organisation, "suspend")) == (409, "already_suspended")


def test_conflicts() -> None:
    client = signed_in(staff())
    assert told(post(client, make_organisation(), "unsuspend")) == (409, "not_suspended")
    waiting = make_organisation(State.PENDING_DELETION)
    assert told(post(client, waiting, "suspend")) == (409, "already_pending_deletion")
    assert told(post(client, waiting, "unsuspend")) == (409, "not_suspended")
    assert told(post(client, make_organisation(State.FAILED), "suspend")) == (409, "org_not_ready")
    assert told(post(client, make_organisation(), "purge")) == (409, "retention_required")


def test_the_owner_of_a_canary_purges_it() -> None:
    organisation = make_organisation(canary=True)
    answer = post(signed_in(owner_of(organisation)), organisation, "purge", {"reason": "proof"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "pending_deletion"
    organisation.refresh_from_db()
    assert organisation.state == State.DELETED


@pytest.mark.parametrize(
    "state", [State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION, State.PURGING]
)
def test_a_customers_organisation_is_purged_by_nobody_here(state: str) -> None:
    """Neither before its retention is over nor after it: the reaper copies it first."""
    organisation = make_organisation(state)
    before = rows_about(organisation)
    Removal.objects.filter(organisation=organisation).update(due_at=timezone.now())
    for user in (owner_of(organisation), staff()):
        assert told(post(signed_in(user), organisation, "purge")) == (409, "retention_required")
    organisation.refresh_from_db()
    assert organisation.state == state
    assert schemas.schema_exists(organisation.schema_name)
    assert rows_about(organisation).keys() == before.keys()


def test_a_purge_that_is_under_way_or_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = make_organisation(canary=True)
    client = signed_in(owner_of(organisation))

    def fail(*_: Any) -> None:
        raise RuntimeError("the secret address of our database")

    monkeypatch.setattr("rbac.effects.TokensEffect.purge", fail)
    answer = post(client, organisation, "purge")
    assert told(answer) == (500, "purge_failed")
    assert "secret" not in answer.content.decode()
    organisation.refresh_from_db()
    assert organisation.state == State.PURGING
    monkeypatch.undo()

    monkeypatch.setattr(purging, "OTHERS_SECONDS", 0.1)
    with held_by_another(f"reap:{organisation.pk}"):
        assert told(post(client, organisation, "purge")) == (409, "purge_running")
    assert post(client, organisation, "purge").status_code == 200
    organisation.refresh_from_db()
    assert organisation.state == State.DELETED


def test_a_session_needs_its_csrf_token() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    careful = signed_in(owner, careful=True)
    assert told(post(careful, organisation, "suspend")) == (403, "csrf_failed")
    assert Event.objects.filter(action="csrf_failure", actor_id=str(owner.pk)).count() == 1
    page = careful.get("/accounts/logout/", **HOST).content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    assert post(careful, organisation, "suspend", HTTP_X_CSRFTOKEN=found[1]).status_code == 200


def test_a_session_of_the_organisations_host_is_none_here() -> None:
    organisation = make_organisation()
    client = signed_in(owner_of(organisation))
    session = client.session
    session["_host"] = organisation.instance_host
    session.save()
    assert told(post(client, organisation, "suspend")) == (401, "authentication_required")
