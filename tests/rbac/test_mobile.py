"""What a paired phone may reach, and what it is told about the rest (relay-protocol section 20)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from rbac import mobile
from tenants.models import MemberRole, Membership, Organisation
from tests.factories import (
    add_member,
    make_organisation,
    make_token,
    owner_of,
    sign_in,
)

pytestmark = pytest.mark.django_db

# Section 20's table but for onboarding, spelled out.
MONITORING = [
    ("GET", "/api/ai/patrol/findings"),
    ("POST", "/api/ai/patrol/acknowledge"),
    ("POST", "/api/ai/patrol/dismiss"),
    ("POST", "/api/ai/patrol/snooze"),
    ("GET", "/api/ai/findings/f1/investigation"),
    ("GET", "/api/ai/findings/f1/investigation/messages"),
    ("GET", "/api/ai/approvals"),
    ("POST", "/api/ai/approvals/a1/approve"),
    ("POST", "/api/ai/approvals/a1/deny"),
    ("GET", "/api/actions/pending"),
    ("GET", "/api/actions"),
    ("GET", "/api/actions/a1"),
    ("POST", "/api/actions/a1/decision"),
    ("POST", "/api/actions/a1/execute"),
    ("POST", "/api/ai/chat"),
    ("GET", "/api/ai/sessions"),
    ("POST", "/api/ai/sessions"),
    ("GET", "/api/ai/sessions/s1/messages"),
    ("POST", "/api/ai/sessions/s1/abort"),
    ("PATCH", "/api/ai/sessions/s1"),
    ("DELETE", "/api/ai/sessions/s1"),
    ("GET", "/api/ai/patrol/attention"),
    ("GET", "/api/ai/patrol/attention/i1"),
    ("POST", "/api/ai/patrol/attention/i1/resolve"),
]
SHUT = [
    ("GET", "/api/ai/models"),
    ("GET", "/api/ai/approvals/a1"),
    ("GET", "/api/ai/sessions/s1"),
    ("GET", "/api/ai/chat"),
    ("DELETE", "/api/actions/a1"),
    ("GET", "/api/ai/findings/f1/f2/investigation"),
    ("GET", "/api/ai/findings//investigation"),
    ("GET", "/api/actions/a1/decision/more"),
    ("GET", "/api/organisation/"),
    ("GET", "/api/settings/relay"),
    ("POST", "/api/security/tokens/relay-mobile"),
    ("DELETE", "/api/security/tokens/0b5a17b6-cc53-4d8d-97fb-93b5489b714c"),
    ("GET", "/api/"),
    ("GET", "/api/admin/roles"),
]


@pytest.fixture(scope="module")
def made(live_db_session: None) -> tuple[Organisation, str]:
    """One organisation and phone for all: what a test changes is rolled back after it."""
    organisation = make_organisation()
    return organisation, make_token(organisation, mobile.SCOPE)


@pytest.fixture
def organisation(made: tuple[Organisation, str]) -> Organisation:
    return made[0]


@pytest.fixture
def phone(made: tuple[Organisation, str]) -> str:
    return made[1]


def ask(organisation: Organisation, secret: str, method: str, path: str) -> Any:
    return Client().generic(
        method, path, HTTP_HOST=organisation.instance_host, HTTP_X_API_TOKEN=secret
    )


def test_the_open_routes_are_these_six() -> None:
    assert {
        ("GET", "/api/organisation"),
        ("GET", "/api/settings/relay/status"),
        ("GET", "/api/onboarding/qr"),
        ("GET", "/api/onboarding/qr.svg"),
        ("GET", "/api/onboarding/deep-link"),
        ("POST", "/api/onboarding/validate"),
    } == mobile.OPEN


@pytest.mark.parametrize(("method", "path"), sorted(mobile.OPEN))
def test_open_routes_let_a_phone_in(
    organisation: Organisation, phone: str, method: str, path: str
) -> None:
    answer = ask(organisation, phone, method, path)
    # The route itself may find fault with what was sent, but not with who sent it.
    assert answer.status_code not in (401, 403, 404, 405, 500), answer.content


@pytest.mark.parametrize(("method", "path"), MONITORING)
def test_monitoring_routes_say_that_nothing_is_attached(
    organisation: Organisation, phone: str, method: str, path: str
) -> None:
    answer = ask(organisation, phone, method, path)
    assert answer.status_code == 404
    assert answer.json()["error"] == "monitoring_not_attached"


@pytest.mark.parametrize(("method", "path"), SHUT)
def test_everything_else_is_forbidden_to_a_phone(
    organisation: Organisation, phone: str, method: str, path: str
) -> None:
    answer = ask(organisation, phone, method, path)
    assert answer.status_code == 403
    body = answer.json()
    assert "forbidden" in (body.get("error"), body.get("code"))


@pytest.mark.parametrize("path", ["/", "/devices", "/pair"])
def test_pages_are_forbidden_to_a_phone(organisation: Organisation, phone: str, path: str) -> None:
    method = "POST" if path == "/pair" else "GET"
    assert ask(organisation, phone, method, path).status_code == 403


def test_a_wider_scope_beside_it_opens_nothing_more(organisation: Organisation) -> None:
    secret = make_token(organisation, mobile.SCOPE, "*")
    assert ask(organisation, secret, "GET", "/api/settings/relay").status_code == 403


def test_the_scope_gives_its_person_no_more_than_the_person_has(
    organisation: Organisation,
) -> None:
    """Paired as administrator, then made auditor: the phone may read settings no longer."""
    from rbac.models import Assignment
    from tenants import versions
    from tenants.schemas import in_schema

    person = add_member(organisation, MemberRole.ADMIN)
    secret = make_token(organisation, mobile.SCOPE, user=person)
    path = "/api/settings/relay/status"
    assert ask(organisation, secret, "GET", path).status_code == 200
    with in_schema(organisation):
        Assignment.objects.filter(user=person.pk).update(role_id="auditor")
    versions.move_on(organisation.pk)
    assert ask(organisation, secret, "GET", path).status_code == 403
    Membership.objects.filter(user=person).delete()
    assert ask(organisation, secret, "GET", path).status_code == 401  # it died with it


def test_other_callers_hear_the_same_of_monitoring(organisation: Organisation) -> None:
    client = Client()
    sign_in(client, owner_of(organisation), organisation)
    host = organisation.instance_host
    answer = client.get("/api/actions", HTTP_HOST=host)
    assert (answer.status_code, answer.json()["error"]) == (404, "monitoring_not_attached")
    answer = client.get("/api/nothing", HTTP_HOST=host)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_a_query_string_changes_nothing(organisation: Organisation, phone: str) -> None:
    answer = ask(organisation, phone, "GET", "/api/organisation?x=/api/settings/relay")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["//api/organisation", "/api//organisation", "/api/organisation/..", "/api/./organisation", "/API/organisation", "/api/organisation%00", "/api/x%0Ay", "/api/organisation%2f"]
)  # fmt: skip
def test_odd_spellings_of_an_open_route_are_not_that_route(
    organisation: Organisation, phone: str, path: str
) -> None:
    assert ask(organisation, phone, "GET", path).status_code in (400, 403, 404)
