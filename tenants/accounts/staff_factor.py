"""In production what staff may do is open to sign-ins that took a second factor, and to no others:
the staff pages and the routes under /api/ alike.

Elsewhere it is offered. A session knows how it was made; turning the second factor on counts as
having given a code, because it takes one.
"""

from __future__ import annotations

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.http import HttpRequest

from tenants.accounts import entry
from tenants.models import User

_ANSWER = "_staff_second_factor"


def suffices(request: HttpRequest) -> bool:
    """Whether this sign-in is enough for what staff may do; asked once per request."""
    if not settings.PRODUCTION:
        return True
    known = getattr(request, _ANSWER, None)
    if known is None:
        known = was_given(request) and is_on(request)
        setattr(request, _ANSWER, known)
    return bool(known)


def is_on(request: HttpRequest) -> bool:
    """Whether this person's sign-in takes a code."""
    return isinstance(request.user, User) and entry.has_second_factor(request.user)


def was_given(request: HttpRequest) -> bool:
    """Whether this very session was made, or confirmed, with one."""
    records = get_authentication_records(request, request.user)
    return any(record.get("method") == "mfa" for record in records)
