"""What the web process answers when a request raised: handler500 of both URLconfs.

A database that does not answer is no fault of the request: 503, and when to come back. Neither
answer asks the database, a session or the request's organisation for anything.
"""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from tenants import hosts, problems


def failed(request: HttpRequest) -> HttpResponse:
    """Django calls this while the exception is being handled, and logs it."""
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    if request.path.startswith("/api/"):
        if away:
            return hosts.unavailable()
        return problems.response(
            500, "internal_error", "Something failed on our side. It has been logged."
        )
    answer = HttpResponse(render_to_string("500.html"), status=503 if away else 500)
    if away:
        answer["Retry-After"] = hosts.unavailable()["Retry-After"]
    return answer
