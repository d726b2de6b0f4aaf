"""The description of the API is whole, valid and that of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.validation import validate_schema

from pulsecloud.api_docs import DOCUMENTS
from tests.api_docs.reading import Operation, complaints, document, operations
from tests.matrix.addresses import addresses
from tests.matrix.things import BASE

ROOT = Path(__file__).resolve().parents[2]
ALL = list(operations())
# What no program calls: the description itself, and the answer on every other address; and a POST
# that is always refused, because the id of a new role stands in the body.
ALWAYS_REFUSED = ("organisation", "POST", "/api/admin/roles/{}")
NOT_DESCRIBED = ("/api/docs", "/api/docs/{}", "/api/{}.yaml", "/api/{}")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_is_valid_openapi_made_without_complaint(name: str) -> None:
    validate: Any = validate_schema  # untyped
    validate(document(name))
    assert complaints(name) == ()


def test_what_is_checked_in_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "api_reference", "--check"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "pulsecloud.settings"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_no_address_is_left_out() -> None:
    """Every API address and method that is handled stands in one of the documents."""
    described = {
        (BASE if each.document == "openapi-platform" else "organisation",
         each.method.upper(), re.sub(r"\{\w+\}", "{}", each.path))
        for each in ALL
    }  # fmt: skip
    plain = {(host, path) for host, _, path in described if host == BASE}
    missing = [
        (host, method, path)
        for host, method, path in sorted(addresses())
        if path.startswith("/api/")
        and path not in NOT_DESCRIBED
        and (host, method, path) != ALWAYS_REFUSED
        and (host, method, path) not in described
        # A plain view answers 405 to what is not described; the matrix says so for each of them.
        and not (host == BASE and (host, path) in plain)
    ]
    assert not missing, missing


def test_operation_ids_are_chosen_and_unique() -> None:
    ids = Counter((each.document, each.body["operationId"]) for each in ALL)
    assert [key for key, n in ids.items() if n > 1] == []
    made_up = [
        str(each)
        for each in ALL
        if each.body["operationId"].endswith(
            ("_retrieve", "_create", "_update", "_partial_update", "_destroy")
        )
    ]
    assert made_up == [], "no operation_id"


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_an_operation_says_what_it_does_and_shows_it(operation: Operation) -> None:
    body = operation.body
    assert body.get("summary"), "no summary"
    assert body["tags"] != ["Other"], (
        "its address belongs to no tag (tenants/http/openapi_parts.py)"
    )
    good = {s: a for s, a in body["responses"].items() if s.startswith("2")}
    assert good, "no answer of success"
    shown = False
    for status, answer in good.items():
        if status != "204":
            assert answer.get("content"), f"{status} without a serializer"
        shown |= any(map(examples_of, answer.get("content", {}).values())) or status == "204"
    asked = body.get("requestBody", {}).get("content", {})
    assert shown, "no example of an answer"
    assert not asked or any(map(examples_of, asked.values())), "no example of a request"


def examples_of(media: dict[str, Any]) -> bool:
    return bool(media.get("examples") or "example" in media)


def test_who_may_is_told_of_every_operation_behind_the_door() -> None:
    silent = [
        str(each)
        for each in ALL
        if each.document == "openapi"
        and not (each.body.get("x-required-permission") and each.body.get("security"))
    ]
    assert silent == []
