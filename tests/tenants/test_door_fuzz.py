"""Random requests, a thousand of strangers, leave no error, no traceback and nothing behind."""

from __future__ import annotations

import json
import logging
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from rbac import mobile
from tests.factories import make_organisation, make_token

pytestmark = pytest.mark.django_db

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO"]
PATHS = [
    "/api/organisation",
    "/api/security/tokens/relay-mobile",
    "/api/security/tokens/{}",
    "/api/{}",
    "/{}",
    "/devices",
    "/hand-off",
]
COUNTED = ("tenants_organisation", "tenants_membership", "tenants_user", "tenants_link")


def text(dice: random.Random) -> str:
    kinds: list[Callable[[], str]] = [
        lambda: "".join(dice.choices(string.printable, k=dice.randrange(40))),
        lambda: "".join(chr(dice.randrange(1, 256)) for _ in range(dice.randrange(20))),
        lambda: "".join(dice.choices("0123456789abcdef", k=64)),
        lambda: "../" * dice.randrange(6),
        lambda: "%00%0a%0d%ff%c0%80",
        lambda: "x" * 3000,
        lambda: "",
    ]
    return dice.choice(kinds)()


def body(dice: random.Random) -> bytes:
    kinds: list[Callable[[], bytes]] = [
        lambda: dice.randbytes(dice.randrange(200)),
        lambda: json.dumps({text(dice): text(dice) for _ in range(3)}).encode(),
        lambda: json.dumps({"name": dice.choice([None, 1, [], {}, True, text(dice)])}).encode(),
        lambda: b'{"name": "\\ud800\\u0000"}',
        lambda: b"{" * 2000,
        lambda: b"",
    ]
    return dice.choice(kinds)()


def header(dice: random.Random) -> str:
    return text(dice).replace("\r", " ").replace("\n", " ")


def rows(schema: str) -> list[int]:
    names = [f"public.{table}" for table in COUNTED]
    names += [f'"{schema}".rbac_{table}' for table in ("role", "permission", "assignment")]
    with connection.cursor() as cursor:
        found = []
        for name in names:
            cursor.execute(f"SELECT count(*) FROM {name}")
            found.append(cursor.fetchone()[0])
        return found


@pytest.mark.parametrize(
    ("caller", "requests"), [("stranger", 1000), ("phone", 300), ("administrator", 300)]
)
def test_leaves_nothing_behind(
    caller: str, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(f"pulse {caller}")
    organisation = make_organisation()
    token = {
        "stranger": "",
        "phone": make_token(organisation, mobile.SCOPE),
        "administrator": make_token(organisation),
    }[caller]
    client = Client(raise_request_exception=False)
    before = rows(organisation.schema_name)
    with caplog.at_level(logging.ERROR):
        for _ in range(requests):
            extra: dict[str, Any] = {"HTTP_X_API_TOKEN": token or header(dice)}
            if caller == "stranger" and dice.random() < 0.3:
                extra["HTTP_HOST"] = header(dice)
            else:
                extra["HTTP_HOST"] = organisation.instance_host
            if dice.random() < 0.3:
                extra["HTTP_AUTHORIZATION"] = header(dice)
            if dice.random() < 0.2:
                extra["HTTP_COOKIE"] = header(dice)
            if dice.random() < 0.1:
                extra["CONTENT_LENGTH"] = header(dice)
            path = dice.choice(PATHS).replace("{}", text(dice)) or "/"
            answer = client.generic(
                dice.choice(METHODS),
                path if path.startswith("/") else f"/{path}",
                body(dice),
                content_type=dice.choice(["application/json", "text/plain", header(dice)]),
                **extra,
            )
            assert answer.status_code < 500, (path, extra, answer.content[:300])
    assert not [r for r in caplog.records if r.exc_info], caplog.text[:2000]
    assert rows(organisation.schema_name) == before
