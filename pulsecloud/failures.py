"""What the web process answers when a request raised: the error handlers of both URLconfs.

Django's own ones for 400, 403 and 404 look for a form token in the body first, and fail when it
cannot be read. These read nothing. A database that does not answer is no fault of the request: 503,
and when to come back.
"""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from tenants import hosts
from tenants.http import problems


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: the request cannot be read."""
    if _by_program(request):
        return problems.contract(400, "invalid_request", "The request cannot be read.")
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if _by_program(request):
        return problems.contract(403, "forbidden", "This is not allowed.")
    return render(request, "403.html", status=403)


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW. A form under /api/ that a browser sent is answered with a page too."""
    if _by_program(request) and "text/html" not in request.headers.get("Accept", ""):
        return problems.contract(403, "csrf_failure", "The CSRF token is missing or wrong.")
    return render(request, "403_csrf.html", status=403)


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    if _by_program(request):
        return problems.contract(404, "not_found", "There is nothing here.")
    return render(request, "404.html", status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """handler500. Django calls it while the exception is being handled, and logs that.

    Asks neither the database nor the session for anything.
    """
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    if _by_program(request):
        if away:
            return hosts.unavailable()
        return problems.contract(
            500, "internal_error", "Something failed on our side. It has been logged."
        )
    answer = HttpResponse(render_to_string("500.html"), status=503 if away else 500)
    if away:
        answer["Retry-After"] = hosts.unavailable()["Retry-After"]
    return answer


def _by_program(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
