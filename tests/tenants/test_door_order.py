"""The checks of the door, in their order: each refuses before the next one looks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from billing.models import BillingState
from rbac.models import Assignment
from tenants import versions
from tenants.models import Membership, Organisation, State
from tenants.schemas import in_schema
from tests.factories import (
    add_member,
    make_organisation,
    make_token,
    owner_of,
    put_in_state,
    sign_in,
)

ORDER = [
    "tenants.door.hosted_gate",
    "tenants.request_limits.still_refused",
    "rbac.authentication.authenticate",
    "tenants.door.membership",
    "tenants.request_limits.limited",
    "tenants.door.organisation_state",
    "billing.entitlement.entitled",
    "rbac.authorizer.permitted",
]
MINT = "/api/security/tokens/relay-mobile"


def suspend(organisation: Organisation) -> None:
    put_in_state(organisation, State.SUSPENDED)


def end_trial(organisation: Organisation) -> None:
    gone = timezone.now() - timedelta(days=1)
    BillingState.objects.filter(organisation=organisation).update(trial_ends_at=gone)


def drop_capability(organisation: Organisation) -> None:
    BillingState.objects.filter(organisation=organisation).update(capabilities=[])


def take_roles(organisation: Organisation) -> None:
    with in_schema(organisation):
        Assignment.objects.all().delete()


def mint(organisation: Organisation, secret: str) -> Any:
    return post(Client(), organisation, HTTP_X_API_TOKEN=secret)


def post(client: Client, organisation: Organisation, **headers: Any) -> Any:
    return client.post(
        MINT, "{}", content_type="application/json", HTTP_HOST=organisation.instance_host, **headers
    )


def test_the_order_is_written_down_once() -> None:
    assert live_settings.REQUEST_CHECKS == ORDER


@pytest.mark.django_db
def test_each_check_refuses_before_the_next(settings: Any) -> None:
    """Everything is wrong at first; what is put right, one by one, uncovers the next refusal."""
    organisation = make_organisation()
    owner, secret = owner_of(organisation), make_token(organisation)
    membership = Membership.objects.get(organisation=organisation, user=owner)
    membership.delete()
    suspend(organisation)
    end_trial(organisation)
    drop_capability(organisation)
    take_roles(organisation)
    settings.HOSTED_MODE = False

    answer = mint(organisation, "wrong")
    assert (answer.status_code, answer.content) == (404, b"Not found\n")
    settings.HOSTED_MODE = True
    answer = mint(organisation, "wrong")
    assert (answer.status_code, answer.json()["error"]) == (401, "authentication_required")
    client = Client()
    sign_in(client, owner, organisation)  # a token would be dead with the membership
    answer = post(client, organisation)
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
    membership.save()
    answer = mint(organisation, secret)
    assert (answer.status_code, answer.json()["error"]) == (403, "org_suspended")
    put_in_state(organisation, State.ACTIVE)
    answer = mint(organisation, secret)
    assert (answer.status_code, answer.json()["error"]) == (402, "subscription_required")
    later = timezone.now() + timedelta(days=1)
    BillingState.objects.filter(organisation=organisation).update(trial_ends_at=later)
    answer = mint(organisation, secret)
    assert (answer.status_code, answer.json()["error"]) == (402, "license_required")
    BillingState.objects.filter(organisation=organisation).update(capabilities=["relay"])
    answer = mint(organisation, secret)
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "forbidden",
        "message": "You may not do this in this organisation.",
        "action": "write",
        "resource": "settings",
    }
    with in_schema(organisation):
        Assignment.objects.create(user=owner.pk, role_id="admin")
    versions.move_on(organisation.pk)
    assert mint(organisation, secret).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/api/organisation", "/devices", "/api/anything"])
def test_with_hosted_mode_off_the_host_is_not_there(
    client: Client, settings: Any, path: str
) -> None:
    organisation = make_organisation()
    sign_in(client, owner_of(organisation), organisation)
    settings.HOSTED_MODE = False
    answer = client.get(path, HTTP_HOST=organisation.instance_host)
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/plain")


@pytest.mark.django_db
def test_a_bad_token_is_not_made_up_for_by_a_session(client: Client) -> None:
    organisation = make_organisation()
    sign_in(client, owner_of(organisation), organisation)
    host = organisation.instance_host
    assert client.get("/api/organisation", HTTP_HOST=host).status_code == 200
    answer = client.get("/api/organisation", HTTP_HOST=host, HTTP_X_API_TOKEN="ab" * 32)
    assert answer.status_code == 401


@pytest.mark.django_db
def test_a_session_needs_the_csrf_token_to_change_things() -> None:
    organisation = make_organisation()
    client = Client(enforce_csrf_checks=True)
    sign_in(client, owner_of(organisation), organisation)
    answer = post(client, organisation)
    assert (answer.status_code, answer.json()["error"]) == (403, "csrf_failure")
    client.cookies["csrftoken"] = "a" * 32
    answer = post(client, organisation, HTTP_X_CSRFTOKEN="a" * 32)
    assert answer.status_code == 200
    # A token is sent by no browser by itself.
    assert mint(organisation, make_token(organisation)).status_code == 200


@pytest.mark.django_db
def test_wrong_methods_answer_405_in_plain_text() -> None:
    answer = Client().put(MINT, HTTP_HOST=make_organisation().instance_host)
    assert (answer.status_code, answer["Content-Type"]) == (405, "text/plain")
    assert answer["Allow"] == "POST"


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("editor", 403), ("viewer", 403)])
def test_roles_decide_who_may_change_settings(role: str, status: int) -> None:
    organisation = make_organisation()
    member = add_member(organisation, role)
    assert mint(organisation, make_token(organisation, user=member)).status_code == status


@pytest.fixture
def impatient(live_db: None) -> Any:
    """Queries of the web side give up soon; another connection holds what they need."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '150ms'")
    yield
    connections.close_all()


@pytest.mark.parametrize(
    "table",
    ["tenants_organisation", "tenants_membership", "billing_billingstate", "rbac_apitoken"],
)
def test_a_state_that_cannot_be_read_is_refused_with_503(impatient: None, table: str) -> None:
    """H9: never served on the strength of not knowing. Phones keep their pairing on 503."""
    organisation = make_organisation()
    secret = make_token(organisation)
    schema = organisation.schema_name if table.startswith("rbac") else "public"
    holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f'LOCK TABLE "{schema}".{table} IN ACCESS EXCLUSIVE MODE')
        answer = Client().get(
            "/api/organisation", HTTP_HOST=organisation.instance_host, HTTP_X_API_TOKEN=secret
        )
        assert answer.status_code == 503
        assert answer["Retry-After"] == "5"
    finally:
        holder.close()
    answer = Client().get(
        "/api/organisation", HTTP_HOST=organisation.instance_host, HTTP_X_API_TOKEN=secret
    )
    assert answer.status_code == 200


@pytest.mark.django_db
@pytest.mark.covers("F06")
def test_an_active_organisation_without_its_schema_is_503_and_not_401() -> None:
    organisation = make_organisation()
    secret = make_token(organisation)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')
    assert mint(organisation, secret).status_code == 503
