"""Errors are answered as problem+json, or as the contract says, and never with a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions

from tenants.http import problems
from tenants.http.problems import Problem


class Ours:
    by_contract = False


class Contract:
    by_contract = True


def handled(error: Exception, view: object = None) -> tuple[int, str, dict[str, Any]]:
    answer = problems.handle(error, {"view": view})
    assert answer is not None
    return answer.status_code, answer["Content-Type"], json.loads(answer.content)


def test_our_form() -> None:
    status, kind, body = handled(Problem(409, "taken", "Taken.", "Choose another.", field="label"))
    assert (status, kind) == (409, "application/problem+json")
    assert body == {
        "type": "about:blank",
        "status": 409,
        "code": "taken",
        "title": "Taken.",
        "detail": "Choose another.",
        "field": "label",
    }


def test_the_contracts_form() -> None:
    status, kind, body = handled(Problem(409, "taken", "Taken."), Contract())
    assert (status, kind) == (409, "application/json")
    assert isinstance(body.pop("timestamp"), int)
    assert body == {"error": "Taken.", "code": "taken", "status_code": 409}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.ParseError(), 400, "invalid_json"),
        (exceptions.ValidationError(), 400, "invalid_request"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.NotFound(), 404, "not_found"),
        (Http404(), 404, "not_found"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (PermissionDenied(), 403, "forbidden"),
        (RequestDataTooBig(), 413, "body_too_large"),
        (exceptions.Throttled(), 429, "throttled"),
        (ZeroDivisionError("secret detail"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("view", [Ours(), Contract()])
def test_errors_of_the_framework(error: Exception, status: int, code: str, view: object) -> None:
    got, _, body = handled(error, view)
    assert (got, body["code"]) == (status, code)
    assert "secret detail" not in str(body)


def test_a_wrong_method_is_plain_text() -> None:
    answer = problems.handle(exceptions.MethodNotAllowed("PUT"), {})
    assert answer is not None
    assert (answer.status_code, answer["Content-Type"]) == (405, "text/plain")
