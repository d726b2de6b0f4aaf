"""Who asks too often is told so (hosted-contract section 8).

Addresses are limited before anybody is known, by the middleware; credentials and organisations by
the door's check, behind membership, so that what an outsider sees tells nothing of an organisation.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from tenants import advice, budgets, limits, metrics, turns
from tenants.door import Knock, Refused
from tenants.hosts import unavailable

_SAFE = ("GET", "HEAD", "OPTIONS")
_ORGANISATION_FULL = (
    "tenant_rate_limit_exceeded",
    "This organisation makes too many requests. Wait a moment and try again.",
)
_CREDENTIAL_FULL = (
    "credential_rate_limit_exceeded",
    "You make too many requests in this organisation. Wait a moment and try again.",
)


@dataclass(frozen=True)
class _Refusal:
    """What somebody was told, and until when (`time.monotonic()`) they are told it again. For
    AT_LIMIT after that they give way to others."""

    until: float
    limit: str
    code: str
    message: str
    headers: dict[str, str]


# Seconds that a refusal takes, so that programs which ask again at once ask less often: what they cost
# their neighbours is the number of their requests, not what these are answered.
DELAY = 0.25
AT_LIMIT = 10.0  # seconds

MOST = 10_000  # of them in memory
_refusals: dict[bytes, _Refusal] = {}


@advice.explained("Nobody was refused for their pace a moment ago", advice.limit)
def still_refused(knock: Knock) -> None:
    """A check of the door, before authentication: who was refused a moment ago, by these very
    credentials and on this host, is told the same without a look at the database.

    A flood must not cost others much. Credentials that ended meanwhile get 429 instead of 401 for
    the third of a second; who has none is never remembered.
    """
    who = _credentials(knock.request)
    refusal = _refusals.get(who) if who else None
    if refusal is None or time.monotonic() >= refusal.until:
        return
    metrics.rate_limited(refusal.limit)
    turns.sleep(DELAY)
    knock.headers |= refusal.headers
    raise Refused(429, refusal.code, refusal.message)


@advice.explained("Requests are within the limits", advice.limit)
def limited(knock: Knock) -> None:
    """A check of the door: raises Refused 429 when the caller or the organisation is over its limit.

    The caller first, so that one busy token does not use up what the others share. Sets the
    headers of every answer from here on; the numbers are the organisation's, or of the limit that
    refused. A look takes nothing out of the budgets.
    """
    ask = budgets.look if knock.looking else budgets.spend
    organisation = knock.known_organisation
    caller = knock.token.id if knock.token is not None else knock.known_user.pk
    own = ask(
        budgets.CREDENTIAL, f"{organisation.pk}/{caller}", limit=settings.REQUESTS_PER_CREDENTIAL
    )
    if not own.allowed:
        _refuse(knock, own, budgets.CREDENTIAL, *_CREDENTIAL_FULL)
    shared = ask(
        budgets.ORGANISATION,
        str(organisation.pk),
        limit=organisation.requests_per_minute or settings.REQUESTS_PER_ORGANISATION,
    )
    if not shared.allowed:
        _refuse(knock, shared, budgets.ORGANISATION, *_ORGANISATION_FULL)
    knock.headers |= {
        "X-RateLimit-Limit": str(shared.limit),
        "X-RateLimit-Remaining": str(shared.remaining),
    }


def _refuse(knock: Knock, verdict: budgets.Verdict, limit: str, code: str, message: str) -> None:
    if knock.looking:
        raise Refused(429, code, message)
    metrics.rate_limited(limit)
    knock.headers |= {
        **_headers(verdict, retry_after=budgets.WINDOW),  # section 8.3: the window
        "X-Pulse-Org-ID": str(knock.known_organisation.pk),
    }
    if who := _credentials(knock.request):
        if len(_refusals) >= MOST:
            _refusals.clear()
        until = time.monotonic() + DELAY + budgets.pause()
        _refusals[who] = _Refusal(until, limit, code, message, dict(knock.headers))
    turns.sleep(DELAY)
    raise Refused(429, code, message)


def _at_limit(request: HttpRequest) -> bool:
    refusal = _refusals.get(_credentials(request)) if _refusals else None
    return refusal is not None and 0 <= time.monotonic() - refusal.until < AT_LIMIT


def _credentials(request: HttpRequest) -> bytes:
    """What stands for the credentials of a request and its host; empty without credentials."""
    presented = [
        request.META.get("HTTP_X_API_TOKEN", ""),
        request.META.get("HTTP_AUTHORIZATION", ""),
        request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""),
    ]
    if not any(presented):
        return b""
    return hashlib.sha256(
        "\0".join([request.META.get("HTTP_HOST", ""), *presented]).encode()
    ).digest()


class AddressLimitMiddleware:
    """At most so many requests a minute from one address, whatever they ask for (section 8.1).

    Static files and health do not come here. Left out is direct loopback: programs on this machine,
    and the built-in runtime, whose phones the door limits by their tokens. A proxy on loopback that
    is not trusted forwards strangers, so they share its one budget (system check W017).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with turns.under_way():
            if _at_limit(request):
                turns.give_way()
            return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        subject = limits.bucket(limits.address_of(request))
        if subject and not _direct_loopback(request, subject):
            try:
                refused = self._refused(request, subject)
            except DatabaseError:
                return unavailable()
            if refused is not None:
                metrics.rate_limited(budgets.ADDRESS)
                turns.sleep(DELAY)
                return _too_many(refused)
        return self.get_response(request)

    @staticmethod
    def _refused(request: HttpRequest, subject: str) -> budgets.Verdict | None:
        verdict = budgets.spend(budgets.ADDRESS, subject, limit=settings.REQUESTS_PER_ADDRESS)
        if verdict.allowed and _writes_by_api(request):
            verdict = budgets.spend(budgets.WRITES, subject, limit=settings.WRITES_PER_ADDRESS)
        return None if verdict.allowed else verdict


def _writes_by_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") and request.method not in _SAFE


def _direct_loopback(request: HttpRequest, address: str) -> bool:
    if "HTTP_X_FORWARDED_FOR" in request.META:
        return False
    try:
        return ip_address(address).is_loopback
    except ValueError:  # the network of an IPv6 address
        return address == limits.bucket("::1")


def _too_many(verdict: budgets.Verdict) -> HttpResponse:
    answer = HttpResponse("Too many requests\n", status=429, content_type="text/plain")
    for name, value in _headers(verdict, retry_after=verdict.reset).items():
        answer[name] = value
    return answer


def _headers(verdict: budgets.Verdict, *, retry_after: int) -> dict[str, str]:
    """`X-RateLimit-Reset` is RFC 3339 in UTC."""
    reset = timezone.now() + timedelta(seconds=verdict.reset)
    return {
        "Retry-After": str(retry_after),
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": f"{reset:%Y-%m-%dT%H:%M:%S}Z",
    }
