"""How errors are answered: problem+json (RFC 9457) on our own routes, the contracts' on theirs."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions

log = logging.getLogger(__name__)

# Codes of the errors that the framework raises by itself.
_FRAMEWORK: dict[type[Exception], tuple[int, str, str]] = {
    exceptions.ParseError: (400, "invalid_json", "The body is not valid JSON."),
    exceptions.ValidationError: (400, "invalid_request", "The body does not fit."),
    exceptions.UnsupportedMediaType: (415, "unsupported_media_type", "Send application/json."),
    exceptions.NotAcceptable: (406, "not_acceptable", "Only JSON is answered here."),
    exceptions.NotFound: (404, "not_found", "There is nothing here."),
    exceptions.PermissionDenied: (403, "forbidden", "This is not allowed."),
    Http404: (404, "not_found", "There is nothing here."),
    PermissionDenied: (403, "forbidden", "This is not allowed."),
    RequestDataTooBig: (413, "body_too_large", "The body is too large."),
    MultiPartParserError: (400, "invalid_request", "The form cannot be read."),
    BadRequest: (400, "invalid_request", "The request cannot be read."),
    SuspiciousOperation: (400, "invalid_request", "The request cannot be read."),
}


class Problem(Exception):
    """An error with a stable code; raise it from a verb or a view, `handle` answers it."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **extra: Any) -> None:
        super().__init__(f"{code}: {title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.extra = extra


def response(status: int, code: str, title: str, detail: str = "", **extra: Any) -> JsonResponse:
    """A problem+json answer: type, status, code, title, and detail when there is one."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "code": code, "title": title}
    if detail:
        body["detail"] = detail
    return JsonResponse({**body, **extra}, status=status, content_type="application/problem+json")


def contract(status: int, code: str, message: str, **extra: Any) -> JsonResponse:
    """The envelope of the runtime's handlers (hosted-contract section 1.2)."""
    body = {"error": message, "code": code, "status_code": status, "timestamp": int(time.time())}
    return JsonResponse({**body, **extra}, status=status)


def answer(problem: Problem, *, by_contract: bool = False) -> JsonResponse:
    """The answer to a Problem, in the form of the route that it was raised on."""
    if by_contract:
        return contract(
            problem.status, problem.code, problem.detail or problem.title, **problem.extra
        )
    return response(problem.status, problem.code, problem.title, problem.detail, **problem.extra)


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """REST framework's exception handler. Views with `by_contract = True` get that envelope."""
    by_contract = bool(getattr(context.get("view"), "by_contract", False))
    if isinstance(error, Problem):
        return answer(error, by_contract=by_contract)
    if isinstance(error, exceptions.MethodNotAllowed):
        return HttpResponse("Method not allowed\n", status=405, content_type="text/plain")
    for kind, (status, code, title) in _FRAMEWORK.items():
        if isinstance(error, kind):
            return answer(Problem(status, code, title), by_contract=by_contract)
    if isinstance(error, exceptions.APIException):
        code = str(error.default_code)
        return answer(Problem(error.status_code, code, str(error.detail)), by_contract=by_contract)
    log.error("unhandled error in a view", exc_info=error)
    problem = Problem(500, "internal_error", "Something failed on our side. It has been logged.")
    return answer(problem, by_contract=by_contract)
