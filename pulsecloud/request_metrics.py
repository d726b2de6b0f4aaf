"""Counts and times what `web` answers, by area; the first two objectives are read from it.

    hosted   the hosted routes and lease refresh, which programs and other services call
    admin    the staff pages
    api      every other API, organisations' own above all
    pages    what is left: sign-up, accounts, organisation pages

Health, metrics and static files are not counted: they are asked for without end, and would drown
the rest. A stream counts until its headers went out, as it stays open on purpose. A refusal that is
503 by contract and no failure of ours (`tenants.metrics.decided`) counts as 4xx.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from tenants import metrics

_HOSTED: Final = (
    "/api/public/",
    "/api/hosted/",
    "/api/admin/orgs/",
    "/api/webhooks/",
    "/api/entitlements/",
)


class RequestMetricsMiddleware:
    """Behind health and before everything else, so that every refusal is counted as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(settings.STATIC_URL):
            return self.get_response(request)
        begun = time.monotonic()
        response = self.get_response(request)
        status = 403 if getattr(response, "decided", False) else response.status_code
        metrics.answered(area(request.path_info), status, time.monotonic() - begun)
        return response


def area(path: str) -> str:
    """One of tenants.metrics.AREAS. Any text may come here; only these four go on."""
    if path.startswith(_HOSTED):
        return "hosted"
    if path.startswith("/api/"):
        return "api"
    return "admin" if path.startswith("/admin/") else "pages"
