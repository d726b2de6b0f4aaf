"""POST …/soft-delete, POST …/restore and GET /api/hosted/organizations (hosted-contract section 5.4)."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission

from audit.models import Event
from tenants.models import Organisation, State, User
from tests.factories import add_member, make_organisation, make_user, owner_of
from tests.lifecycle.test_api import HOST, post, signed_in, staff, told

pytestmark = pytest.mark.django_db
LIST = "/api/hosted/organizations"


def seeing_staff() -> User:
    user = make_user(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_organisation"))
    return user


def row_of(organisation: Organisation, client: Any = None) -> dict[str, Any] | None:
    answer = (client or signed_in(seeing_staff())).get(LIST, **HOST)
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.json()
    return next((row for row in rows if row["org_id"] == str(organisation.pk)), None)


def test_the_owner_deletes_and_restores() -> None:
    organisation = make_organisation()
    client = signed_in(owner_of(organisation))
    answer = post(client, organisation, "soft-delete", {"retention_days": 14})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["retentionDays"]) == ("pending_deletion", 14)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["deletionRequestedAt"])
    event = Event.objects.get(organisation=organisation.pk, action="org_soft_deleted")
    assert (event.actor_kind, event.reason) == ("person", "soft_delete")
    answer = post(client, organisation, "restore")
    assert answer.status_code == 200
    assert answer.json()["status"] == "active"
    assert not {"retentionDays", "deletionRequestedAt"} & answer.json().keys()


def test_a_deletion_keeps_the_suspension() -> None:
    organisation = make_organisation()
    client = signed_in(staff())
    post(client, organisation, "suspend", {"reason": "unpaid"})
    body = post(client, organisation, "soft-delete").json()
    assert (body["status"], body["suspendReason"], body["retentionDays"]) == (
        "pending_deletion",
        "unpaid",
        30,
    )
    assert body["suspendedAt"]
    assert told(post(client, organisation, "unsuspend")) == (409, "not_suspended")
    assert told(post(client, organisation, "suspend")) == (409, "already_pending_deletion")
    assert post(client, organisation, "restore").json()["status"] == "suspended"


def test_what_staff_deleted_the_owner_cannot_restore() -> None:
    organisation = make_organisation()
    assert post(signed_in(staff()), organisation, "soft-delete").status_code == 200
    answer = post(signed_in(owner_of(organisation)), organisation, "restore")
    assert told(answer) == (403, "deletion_by_other")
    assert post(signed_in(staff()), organisation, "restore").status_code == 200


@pytest.mark.parametrize("days", [0, -1, -(10**30), 366, 10**30])
def test_a_retention_that_is_none_comes_before_the_conflict(days: int) -> None:
    organisation = make_organisation()
    client = signed_in(staff())
    body = {"retention_days": days}
    assert told(post(client, organisation, "soft-delete", body)) == (400, "invalid_retention_days")
    post(client, organisation, "soft-delete")
    assert told(post(client, organisation, "soft-delete", body)) == (400, "invalid_retention_days")


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'{"retention_days": "30"}', b'{"retention_days": 30.0}',
        b'{"retention_days": true}', b'{"retention_days": [1]}', b'{"retention_days": 1e1}',
        b'{"retention_days": NaN}', b'{"reason": 5}', b"\xff", b"x" * 70_000,
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_comes_before_everything_about_it(body: bytes) -> None:
    organisation = make_organisation(State.PENDING_DELETION)
    answer = post(signed_in(staff()), organisation, "soft-delete", body)
    assert told(answer) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"retention_days": null}', b'{"more": 1}'])
def test_without_a_retention_it_is_thirty_days(body: bytes) -> None:
    answer = post(signed_in(staff()), make_organisation(), "soft-delete", body)
    assert answer.json()["retentionDays"] == 30


def test_conflicts() -> None:
    client = signed_in(staff())
    waiting = make_organisation(State.PENDING_DELETION)
    assert told(post(client, waiting, "soft-delete")) == (409, "already_pending_deletion")
    failed = make_organisation(State.FAILED)
    assert told(post(client, failed, "soft-delete")) == (409, "org_not_ready")
    assert told(post(client, make_organisation(), "restore")) == (409, "not_pending_deletion")


@pytest.mark.parametrize("verb", ["soft-delete", "restore"])
def test_the_order_of_checks(settings: Any, verb: str) -> None:
    """Authentication, method, gate, id, organisation, permission, body, retention, conflict."""
    organisation = make_organisation(State.PENDING_DELETION)
    outsider, nobody = signed_in(make_user()), signed_in(None)
    bad = b"{"
    assert told(post(nobody, "bad id", verb, bad)) == (401, "authentication_required")
    assert nobody.get(f"/api/admin/orgs/bad id/{verb}", **HOST).status_code == 401
    settings.HOSTED_MODE = False
    assert outsider.get(f"/api/admin/orgs/bad id/{verb}", **HOST).status_code == 405
    shut = post(outsider, "bad id", verb, bad)
    assert (shut.status_code, shut.content) == (404, b"Not found\n")
    settings.HOSTED_MODE = True
    assert told(post(outsider, "bad id", verb, bad)) == (400, "invalid_org_id")
    assert told(post(outsider, str(uuid4()), verb, bad)) == (404, "org_not_found")
    assert told(post(outsider, organisation, verb, bad)) == (403, "access_denied")
    member = signed_in(add_member(organisation, "admin"))
    assert told(post(member, organisation, verb, bad)) == (403, "access_denied")
    assert told(post(signed_in(staff()), organisation, verb, bad)) == (400, "invalid_request")


def test_a_deleted_organisation_is_not_there() -> None:
    gone = make_organisation(State.DELETED)
    for verb in ("soft-delete", "restore"):
        assert told(post(signed_in(staff()), gone, verb)) == (404, "org_not_found")


# --- the platform's list ------------------------------------------------------------------------


def test_lists_every_organisation_with_a_status() -> None:
    client = signed_in(seeing_staff())
    active, suspended = make_organisation(), make_organisation(State.SUSPENDED)
    answer = client.get(LIST, **HOST)
    assert row_of(active, client) == {
        "org_id": str(active.pk),
        "display_name": active.display_name,
        "owner_user_id": str(owner_of(active).pk),
        "created_at": f"{active.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "suspended": False,
        "soft_deleted": False,
    }
    assert answer.headers["Content-Type"].startswith("application/json")
    flags = {
        State.SUSPENDED: (True, False),
        State.PENDING_DELETION: (False, True),
        State.PURGING: (False, True),
    }
    for state, expected in flags.items():
        row = row_of(suspended if state == State.SUSPENDED else make_organisation(state), client)
        assert row is not None and (row["suspended"], row["soft_deleted"]) == expected
    post(signed_in(staff()), suspended, "soft-delete")
    row = row_of(suspended, client)
    assert row is not None and (row["suspended"], row["soft_deleted"]) == (True, True)
    for state in (State.REQUESTED, State.PROVISIONING, State.FAILED, State.DELETED):
        assert row_of(make_organisation(state), client) is None


@pytest.mark.covers("H5")
def test_a_restored_one_has_no_flag_left() -> None:
    organisation = make_organisation()
    client = signed_in(staff())
    for verb in ("suspend", "soft-delete", "restore", "unsuspend"):
        assert post(client, organisation, verb).status_code == 200
    row = row_of(organisation)
    assert row is not None and (row["suspended"], row["soft_deleted"]) == (False, False)


@pytest.mark.covers("H7")
def test_is_for_staff_who_may_see_organisations(settings: Any) -> None:
    organisation = make_organisation()
    assert signed_in(None).get(LIST, **HOST).status_code == 401
    for user in (owner_of(organisation), make_user(), make_user(is_staff=True)):
        assert told(signed_in(user).get(LIST, **HOST)) == (403, "access_denied")
    assert signed_in(seeing_staff()).post(LIST, **HOST).status_code == 405
    settings.HOSTED_MODE = False
    answer = signed_in(seeing_staff()).get(LIST, **HOST)
    assert (answer.status_code, answer.content) == (404, b"Not found\n")


def test_a_constant_number_of_queries(django_assert_max_num_queries: Any) -> None:
    client = signed_in(seeing_staff())
    client.get(LIST, **HOST)
    for _ in range(3):
        make_organisation(State.PROVISIONING)
    with django_assert_max_num_queries(6):
        client.get(LIST, **HOST)
