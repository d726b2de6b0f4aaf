"""Tells the audit trail where a request comes from: its address and its path."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from audit import origin
from audit.trail import looks_secret
from pulsecloud import redaction
from tenants import limits


class OriginMiddleware:
    """Every row that a request writes carries them, whichever verb writes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        address = limits.address_of(request)
        with origin.during(address=address, path=lambda: path_of(request)):
            return self.get_response(request)


def path_of(request: HttpRequest) -> str:
    """The path as it may be written down: without the tokens of single-use links."""
    path = redaction.text(request.path)
    match = request.resolver_match
    for name, value in (match.kwargs if match else {}).items():
        if looks_secret(name) and str(value):
            path = path.replace(str(value), redaction.GONE)
    return path
