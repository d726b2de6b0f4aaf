"""What stands before every sign-up, by the API and by the page (hosted-contract section 3.1).

In this order: limit per address (429), method (405), hosted gate (404); all plain text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError

from tenants import hosted_routes, invitations, limits
from tenants.http import bodies
from tenants.http.problems import Problem

View = Callable[..., HttpResponse]

_UNREADABLE = (
    Problem, ValueError, TypeError, KeyError, RecursionError, MultiPartParserError,
    SuspiciousOperation,
)  # fmt: skip
# What a sign-up did must not show in how long its answer took. Longer than all of them take.
UNIFORM_SECONDS = 0.15


def plain(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain", headers=headers)


def hosted_only(*methods: str) -> Callable[[View], View]:
    """405 for other methods (HEAD goes with GET), 404 while hosted mode is off."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def wrap(view: View) -> View:
        @wraps(view)
        def gated(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if request.method not in allowed:
                return plain(405, "Method not allowed", Allow=", ".join(allowed))
            if not hosted_routes.is_open():
                return hosted_routes.absent()
            return view(request, *args, **kwargs)

        return gated

    return wrap


def over_limit(request: HttpRequest) -> bool:
    """Counts a sign-up of this address; loopback counts like any other (H3).

    Canary invitations pass uncounted: a proof every few minutes must not shut anybody out.
    """
    token = _invitation_of(request)
    if token and invitations.exempt_from_limits(token):
        return False
    return not limits.allow(
        "signup-address",
        limits.address_of(request),
        limit=settings.SIGNUPS_PER_ADDRESS_PER_HOUR,
        seconds=3600,
    )


def too_many() -> HttpResponse:
    return plain(429, "Too many sign-ups from your address. Try again in an hour.")


def settle(begun: float) -> None:
    """Waits until UNIFORM_SECONDS after `begun` (time.monotonic) are over."""
    time.sleep(max(0.0, UNIFORM_SECONDS - (time.monotonic() - begun)))


def _invitation_of(request: HttpRequest) -> str:
    """The invitation in the body, if it can be one that is exempt; never raises."""
    if request.method != "POST":
        return ""
    try:
        bodies.refuse_oversize(request)
        if request.content_type == "application/json":
            if invitations.CANARY_PREFIX.encode() not in request.body:
                return ""
            value = json.loads(request.body)["invitation"]
        else:
            value = request.POST.get("invitation", "")
    except _UNREADABLE:
        return ""
    return value if isinstance(value, str) else ""
