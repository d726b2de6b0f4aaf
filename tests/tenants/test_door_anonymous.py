"""Before authentication nothing shows about an organisation, its existence included (H22)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from tenants.models import State
from tests.factories import make_organisation, make_token, make_user, owner_of, sign_in, unique

pytestmark = pytest.mark.django_db

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/api/organisation", {}),
    ("POST", "/api/organisation", {}),
    ("GET", "/api/settings/relay/status", {}),
    ("GET", "/api/onboarding/qr", {}),
    ("POST", "/api/onboarding/validate", {"instance_id": "x"}),
    ("POST", "/api/security/tokens/relay-mobile", {}),
    ("DELETE", f"/api/security/tokens/{uuid.uuid4()}", {}),
    ("GET", "/api/ai/chat", {}),
    ("PATCH", "/api/no/such/thing", {"a": 1}),
    ("GET", "/", {}),
    ("GET", "/devices", {}),
    ("GET", "/no-such-page", {}),
    ("POST", "/no-such-page", {}),
]
# Of these an organisation would say something, if it said anything.
STATES = [
    State.REQUESTED,
    State.PROVISIONING,
    State.FAILED,
    State.ACTIVE,
    State.SUSPENDED,
    State.PENDING_DELETION,
    State.PURGING,
    State.DELETED,
]


def nothing() -> dict[str, str]:
    return {}


def no_token() -> dict[str, str]:
    return {"HTTP_X_API_TOKEN": ""}


def garbage_token() -> dict[str, str]:
    return {"HTTP_X_API_TOKEN": "\xff\x00 not a token"}


def unknown_token() -> dict[str, str]:
    return {"HTTP_X_API_TOKEN": "ab" * 32}


def unknown_bearer() -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Bearer " + "cd" * 32}


def others_token() -> dict[str, str]:
    return {"HTTP_X_API_TOKEN": make_token(make_organisation())}


CREDENTIALS = [nothing, no_token, garbage_token, unknown_token, unknown_bearer, others_token]


def seen(answer: HttpResponse, label: str) -> tuple[int, bytes, dict[str, str]]:
    """All a caller sees, save what differs between any two requests."""
    headers = {
        name: value.replace(label, "LABEL")
        for name, value in answer.headers.items()
        if name not in ("X-Request-Id", "Date", "Expires")
    }
    # A form's token is random by design.
    body = re.sub(rb'(csrf\w*" value=")[^"]+', rb"\1", answer.content)
    return answer.status_code, body.replace(label.encode(), b"LABEL"), headers


def ask(method: str, path: str, body: dict[str, Any], label: str, **extra: Any) -> Any:
    return Client().generic(
        method,
        path,
        b"" if not body else str(body).replace("'", '"').encode(),
        content_type="application/json",
        HTTP_HOST=f"{label}.localhost",
        **extra,
    )


@pytest.mark.parametrize("state", STATES)
def test_every_state_answers_as_an_unknown_label_does(state: str) -> None:
    known, unknown = make_organisation(state).label, unique("unknown")
    # All combinations for the two kinds of state that have a schema or none; of the rest the ends.
    all_of_them = state in (State.ACTIVE, State.PROVISIONING)
    for credentials in CREDENTIALS if all_of_them else (nothing, others_token):
        extra = credentials()
        for method, path, body in REQUESTS:
            left = seen(ask(method, path, body, known, **extra), known)
            right = seen(ask(method, path, body, unknown, **extra), unknown)
            assert left == right, (credentials.__name__, method, path)
            assert left[0] in (302, 401, 403, 404, 405), left


@pytest.mark.parametrize("state", STATES)
def test_a_session_of_another_host_changes_nothing(state: str) -> None:
    known, unknown = make_organisation(state), unique("unknown")
    person = make_user()
    elsewhere = make_organisation(owner=person)

    def get(label: str, path: str) -> Any:
        client = Client()
        sign_in(client, person, elsewhere)
        return client.get(path, HTTP_HOST=f"{label}.localhost")

    for path in ("/api/organisation", "/", "/devices", "/api/x"):
        assert seen(get(known.label, path), known.label) == seen(get(unknown, path), unknown)


@pytest.mark.parametrize("host_is_known", [True, False])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"CONTENT_LENGTH": "99999999999"}, 413, "body_too_large"),
        ({"CONTENT_LENGTH": "9" * 400}, 413, "body_too_large"),
        ({"CONTENT_LENGTH": "-1"}, 400, "invalid_content_length"),
        ({"CONTENT_LENGTH": "1e3"}, 400, "invalid_content_length"),
        ({"CONTENT_LENGTH": "٣"}, 400, "invalid_content_length"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "length_required"),
    ],
)
def test_bodies_are_judged_by_their_headers_alike(
    host_is_known: bool, headers: dict[str, str], status: int, code: str
) -> None:
    label = make_organisation().label if host_is_known else unique("unknown")
    answer = Client().post(
        "/api/onboarding/validate",
        data=b"",
        content_type="application/json",
        HTTP_HOST=f"{label}.localhost",
        **{**headers, "wsgi.input": Unreadable()},  # type: ignore[arg-type]
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


class Unreadable:
    """A body whose first byte fails the test."""

    def read(self, *args: object) -> bytes:
        raise AssertionError("the body was read")

    readline = __iter__ = read

    def close(self) -> None:
        pass


def test_pages_send_who_is_not_signed_in_to_the_base_domain() -> None:
    organisation = make_organisation()
    answer = ask("GET", "/", {}, organisation.label)
    assert answer.status_code == 302
    assert answer["Location"] == f"http://localhost:8000/o/{organisation.label}/"


def test_after_authentication_the_state_does_show() -> None:
    """The other half: what was hidden above is what a member is told."""
    answers: dict[str, Callable[[Any], bool]] = {
        State.ACTIVE: lambda a: a.status_code == 200,
        State.SUSPENDED: lambda a: a.json()["code"] == "org_suspended",
        State.PENDING_DELETION: lambda a: a.json()["code"] == "org_suspended",
        State.PURGING: lambda a: a.json()["code"] == "org_not_ready",
        State.PROVISIONING: lambda a: a.json()["code"] == "org_not_ready",
    }
    for state, expected in answers.items():
        organisation, client = make_organisation(state), Client()
        sign_in(client, owner_of(organisation), organisation)
        answer = client.get("/api/organisation", HTTP_HOST=organisation.instance_host)
        assert expected(answer), (state, answer.content)
