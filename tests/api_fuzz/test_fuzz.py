"""Schemathesis over the OpenAPI document, against the running product, as two organisations.

What is asked is made from the document; ids in addresses are made up, or those of things that exist,
the other organisation's among them. Nothing may answer 5xx, show the other organisation's marker, or
differ from what the document says. `--long` asks ten times as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from django.conf import settings
from django.db import connections
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tenants.http.openapi import document
from tests import databases
from tests.api_fuzz.tenant import Tenant, tenant
from tests.databases import looking_into
from tests.product import Product, running_product

SCHEMA = schemathesis.openapi.from_dict(document(settings.TENANT_URLCONF))
OPERATIONS: dict[str, Any] = {
    each.definition.raw["operationId"]: each
    for each in (found.ok() for found in SCHEMA.get_all_operations())  # type: ignore[union-attr]
    if each is not None
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 12
# Hands out other hosts' addresses to look up, which takes its time.
SLOW = {"testSsoProvider": 2, "createSsoProvider": 6, "updateSsoProvider": 6}
WIDE: Any = {  # limits that a search would only run into
    f"PULSECLOUD_{name}": "1000000"
    for name in (
        "REQUESTS_PER_ORGANISATION",
        "REQUESTS_PER_CREDENTIAL",
        "REQUESTS_PER_ADDRESS",
        "WRITES_PER_ADDRESS",
        "MEMBER_INVITATIONS_PER_HOUR",
    )
}


@dataclass
class Pair:
    product: Product
    mine: Tenant
    theirs: Tenant

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.product.web[1]}"


@pytest.fixture(scope="session")
def _pair(worker_id: str, database_name: str, live_db_session: None) -> Iterator[Pair]:
    name = databases.create(f"{worker_id}_fuzz")
    try:
        with running_product(database=name, **WIDE) as product:
            with looking_into(name):
                made = Pair(product, tenant(product), tenant(product))
            yield made
    finally:
        connections.close_all()
        databases.drop(name)


@pytest.fixture
def pair(_pair: Pair, live_db: None) -> Iterator[Pair]:
    assert _pair.product.database is not None
    with looking_into(_pair.product.database):
        yield _pair


def parameters(operation: Any) -> list[str]:
    """Names of what varies in its address, a phone's told from another token's."""
    names = [parameter.name for parameter in operation.path_parameters]
    device = operation.path.startswith("/api/security/devices")
    return ["device_id" if device and name == "token_id" else name for name in names]


def ids(operation: Any, whose: Tenant, *, fresh: bool = False) -> dict[str, str]:
    fresh = fresh or operation.method.upper() == "DELETE"
    return {
        name.replace("device_id", "token_id"): whose.id_for(name, fresh=fresh)
        for name in parameters(operation)
    }


def ways_in(operation: Any) -> list[str]:
    """The credentials that it may be called with: `phone` only where a phone's own token is meant."""
    if operation.path.startswith("/api/onboarding") and operation.method.upper() == "GET":
        return ["phone"]
    return ["session", "token"]


def check(case: Any, answer: Any, reader: Tenant, other: Tenant) -> None:
    case.validate_response(answer, checks=CHECKS)
    assert other.marker.encode() not in answer.content, (
        f"{case.method} {case.path}: {reader.organisation} reads of {other.organisation}"
    )


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.covers("F12")
def test_no_fault_no_foreign_byte_and_as_documented(
    pair: Pair, name: str, request: pytest.FixtureRequest
) -> None:
    operation = OPERATIONS[name]
    many = SLOW.get(name, EXAMPLES) * (10 if request.config.getoption("--long") else 1)
    web = requests.Session()

    @hypothesis_settings(
        max_examples=many,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), dice=st.randoms(use_true_random=False))
    def ask(case: Any, dice: Any) -> None:
        reader, other = dice.choice([(pair.mine, pair.theirs), (pair.theirs, pair.mine)])
        whose = dice.choice([reader, reader, other, None])
        if whose is not None and case.path_parameters:
            case.path_parameters.update(ids(operation, whose))
        how = dice.choice(["session", "token", "phone"])
        host = dice.choice([reader, reader, reader, other])
        headers = {**reader.headers(how), "Host": host.host}
        case.headers = {k: v for k, v in (case.headers or {}).items() if k == "If-Match"}
        case.cookies = {}
        answer = case.call(base_url=pair.address, headers=headers, session=web)
        check(case, answer, reader, other)
        if host is other:
            assert answer.status_code in (400, 401, 403), answer.text

    ask()


# What the documented example of a request cannot know: names that are free, people that exist.
BODIES: dict[str, Any] = {
    "createRole": lambda t: {
        "id": t.named(),
        "name": t.named(),
        "permissions": [{"action": "read", "resource": "nodes"}],
    },
    "setRoles": lambda t: {"roleIds": ["operator"]},
    "setRolesByPost": lambda t: {"roleIds": ["operator"]},
    "updateRole": lambda t: {"name": t.named(), "permissions": []},
    "member_set": lambda t: {"userId": f"{t.named()}@example.test", "role": "viewer"},
    "organisation_rename": lambda t: {"displayName": f"Org {t.marker}"},
    "createSsoProvider": lambda t: {
        "id": t.named(),
        "type": "oidc",
        "name": t.named(),
        "issuerUrl": "https://login.invalid",
        "clientId": "pulse",
    },
    "updateSsoProvider": lambda t: {"name": t.named()},
    "setSsoMappings": lambda t: {"groupRoleMappings": {"staff": "viewer"}},
}
# 400 `discovery_failed`: no provider lives here. tests/sso has one and shows the rest.
NO_PROVIDER = "testSsoProvider"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_can_succeed(pair: Pair, name: str) -> None:
    """With what the document shows as an example, where that is enough."""
    operation, reader = OPERATIONS[name], pair.mine
    asked = operation.definition.raw.get("requestBody", {}).get("content", {})
    body = BODIES[name](reader) if name in BODIES else example_of(asked)
    case = operation.Case(
        path_parameters=ids(operation, reader, fresh=True),
        **({"body": body, "media_type": "application/json"} if asked else {}),
    )
    how = ways_in(operation)[0]
    headers = reader.headers(how) if name != "organisation_leave" else reader.leaver()
    answer = case.call(base_url=pair.address, headers=headers)
    check(case, answer, reader, pair.theirs)
    if name == NO_PROVIDER:
        assert (answer.status_code, answer.json()["code"]) == (400, "discovery_failed")
    else:
        assert 200 <= answer.status_code < 300, answer.text


def example_of(asked: dict[str, Any]) -> Any:
    for media in asked.values():
        for example in media.get("examples", {}).values():
            return example["value"]
    return {}


def test_the_search_bites(pair: Pair) -> None:
    """A foreign byte, a fault and an answer that the document does not know are all seen."""
    operation = OPERATIONS["getRole"]
    case = operation.Case(path_parameters=ids(operation, pair.theirs, fresh=True))
    answer = case.call(base_url=pair.address, headers=pair.theirs.headers("token"))
    with pytest.raises(AssertionError, match="reads of"):
        check(case, answer, pair.mine, pair.theirs)
    for status, body in ((500, b"{}"), (200, b'{"id": 7}'), (418, b"{}")):
        answer = case.call(base_url=pair.address, headers=pair.theirs.headers("token"))
        answer.status_code, answer.content = status, body
        with pytest.raises(BaseException):  # noqa: B017  # schemathesis' own family of failures
            check(case, answer, pair.mine, pair.theirs)
