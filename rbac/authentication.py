"""Who knocks: an API token, or a session that was made on this host."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck

from audit import trail
from audit.actors import Actor
from rbac import tokens
from rbac.models import ApiToken
from tenants import advice, limits
from tenants.door import Knock, Refused, seat_of, unauthenticated
from tenants.models import Organisation, User
from tenants.schemas import SchemaMissing, in_schema

CSRF_NOTED: Final = 20  # failures of one person that an hour's trail shows
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


@advice.explained("The person can sign in", advice.credentials)
def authenticate(knock: Knock) -> None:
    """Sets `knock.user`, and `knock.token` when one was presented.

    A presented token decides alone: no session makes up for a bad one. An unknown organisation,
    an unknown token and no credentials at all are one and the same refusal (H22).
    """
    secret = presented_token(knock.request)
    if secret is not None:
        _by_token(knock, secret)
    else:
        _by_session(knock)


def presented_token(request: HttpRequest) -> str | None:
    """X-API-Token, else the bearer token, else None. Tokens in the address are not looked at."""
    token = request.META.get("HTTP_X_API_TOKEN")
    if token is not None:
        return str(token).strip()
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def _by_token(knock: Knock, secret: str) -> None:
    organisation = knock.organisation
    token = None if organisation is None else _find(organisation, secret)
    seat = None
    if organisation is not None and token is not None:
        seat = seat_of(organisation, token.user)
    if seat is None or not seat.user.is_active:
        raise unauthenticated()
    if not knock.is_api and knock.request.method not in _SAFE:
        # Pages act for the person who presses their buttons; programs have the API, its scopes and
        # its own refusals.
        raise Refused(403, "session_required", "This takes a signed-in person, not an API token.")
    knock.user, knock.token, knock.membership = seat.user, token, seat


def _find(organisation: Organisation, secret: str) -> ApiToken | None:
    try:
        with in_schema(organisation):
            return tokens.find(secret)
    except SchemaMissing:
        # Not made yet, or purged: nobody has credentials there. A live one without its schema is
        # a fault, and 401 would make every phone forget its pairing.
        if organisation.state in ("active", "suspended", "pending_deletion"):
            raise
        return None


def _by_session(knock: Knock) -> None:
    # The session is read also where there is no organisation: that sets Vary, which callers see.
    user = getattr(knock.request, "user", None)
    if not isinstance(user, User) or not user.is_active or knock.organisation is None:
        raise unauthenticated()
    if knock.is_api and knock.request.method not in _SAFE:
        _enforce_csrf(knock.request, knock.organisation, user)
    knock.user = user


def _answer(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _enforce_csrf(request: HttpRequest, organisation: Organisation, user: User) -> None:
    """Only session callers carry credentials that a browser sends by itself (section 1.3).

    A failure is audited; not every one of many, or another site could fill the trail.
    """
    check = CSRFCheck(_answer)
    check.process_request(request)
    if check.process_view(request, _answer, (), {}) is not None:
        if limits.allow("csrf-failure", str(user.pk), limit=CSRF_NOTED, seconds=3600):
            trail.record(
                action="csrf_failure",
                actor=Actor.person(user),
                organisation=organisation.pk,
                subject=request.method or "",
                success=False,
            )
        raise Refused(403, "csrf_failure", "The CSRF token is missing or wrong.")
