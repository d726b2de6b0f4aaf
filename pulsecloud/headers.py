"""Security headers of every answer that Django makes.

Pages load nothing but their own host's stylesheet, scripts and pictures, and no inline script or
style (`default-src 'self'` forbids both). The staff admin needs two exceptions, see ADMIN.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Answer = Callable[[HttpRequest], HttpResponseBase]

# Nothing here runs, frames or is framed: JSON, plain text, errors of programs.
DATA = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def form_targets(public_url: str) -> str:
    """Where a form may lead: here, the base domain and every organisation's host under it.

    The hand-off from the base domain to an organisation's host is a form, and browsers check
    the redirects after a form as well (CSP level 3, form-action).
    """
    address = urlsplit(public_url)
    if not address.netloc:
        return "'self'"
    return f"'self' {address.scheme}://{address.netloc} {address.scheme}://*.{address.netloc}"


def page_policy(public_url: str) -> str:
    return "; ".join(
        [
            "default-src 'self'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            f"form-action {form_targets(public_url)}",
        ]
    )


# Unfold's pages are driven by Alpine, whose standard build compiles the expressions in `x-…`
# attributes (unsafe-eval) and writes style attributes (unsafe-inline, for styles only). No inline
# script is allowed in either place.
ADMIN = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)

# Swagger UI on /api/docs writes style elements, and pictures as data. No inline script, nothing of
# another host, and no form: the page sends nothing.
API_DOCS = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)


class SecurityHeadersMiddleware:
    """Adds a Content-Security-Policy, and `no-store` to whatever is not a static file.

    Pages and API answers carry form tokens, names, and at times a secret that is shown once (a
    pairing code, a token); none may stay in a browser's or a proxy's cache. A view that sets
    Cache-Control itself keeps it.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self.pages = page_policy(settings.PUBLIC_URL)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        headers = response.headers
        if "Content-Security-Policy" not in headers:
            headers["Content-Security-Policy"] = self.policy_for(request, response)
        headers.setdefault("Permissions-Policy", PERMISSIONS)
        if not request.path.startswith(settings.STATIC_URL):
            headers.setdefault("Cache-Control", "no-store")
        return response

    def policy_for(self, request: HttpRequest, response: HttpResponseBase) -> str:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return DATA
        if request.path == "/api/docs" or request.path.startswith("/api/docs/"):
            return API_DOCS
        return ADMIN if request.path.startswith("/admin/") else self.pages
