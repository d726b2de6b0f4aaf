"""Ties a sign-in to the browser that began it, and sends that on to the provider."""

from __future__ import annotations

import re
import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from tenants.models import SsoProvider

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def of(request: HttpRequest) -> str:
    """The value of this browser's cookie; empty for a browser without one."""
    value = request.COOKIES.get(_cookie(), "")
    return value if _VALUE.fullmatch(value) else ""


def new() -> str:
    """A value for a browser without one: 256 bits."""
    return secrets.token_urlsafe(32)


def onward(request: HttpRequest, address: str, provider: SsoProvider, browser: str) -> HttpResponse:
    """A page, not a redirect: browsers hold redirects that follow a form against our policy of
    where forms may lead, and providers redirect on as they please."""
    context = {"address": address, "provider": provider}
    answer = render(request, "sso/onward.html", context)
    # The provider needs to know no address of ours but the one that it sends people back to.
    answer["Referrer-Policy"] = "no-referrer"
    answer.set_cookie(
        _cookie(),
        browser,
        max_age=int(settings.SSO_ATTEMPT_LIFE),
        httponly=True,
        secure=settings.SECURE_HTTPS,
        samesite="Lax",  # the provider's redirect back is a top-level navigation by GET
    )
    add_never_cache_headers(answer)
    return answer


def _cookie() -> str:
    """With the prefix no other host under the base domain can set it (RFC 6265bis 4.1.3.2)."""
    return "__Host-pulsecloud_sso" if settings.SECURE_HTTPS else "pulsecloud_sso"
