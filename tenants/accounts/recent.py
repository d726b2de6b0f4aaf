"""Recent authentication: what dangerous pages ask for (hosted-contract section 9.2).

The time at which a person last proved who they are stands in their session. A hand-off carries it
to the organisation's host, so that proving it again on the base domain counts there as well.
"""

from __future__ import annotations

import time
from typing import Final

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from tenants.door import Knock, Refused

SECONDS: Final = 5 * 60
_KEY = "_signed_in_at"


def note(request: HttpRequest, at: float | None = None) -> None:
    """The person proved who they are, now or at this Unix time."""
    request.session[_KEY] = time.time() if at is None else at


def signed_in_at(request: HttpRequest) -> float | None:
    """Unix time of the last proof; None for a session that does not know."""
    at = request.session.get(_KEY)
    return float(at) if isinstance(at, int | float) else None


def is_recent(request: HttpRequest) -> bool:
    at = signed_in_at(request)
    return at is not None and 0 <= time.time() - at <= SECONDS


def require(knock: Knock) -> None:
    """Raises Refused 403 `session_required` for API tokens, 401 `fresh_session_required` for a
    session whose person proved who they are more than five minutes ago."""
    if knock.token is not None:
        raise Refused(403, "session_required", "This takes a signed-in person, not an API token.")
    if not is_recent(knock.request):
        raise Refused(
            401, "fresh_session_required", "Confirm that it is you: your sign-in is too long ago."
        )


@receiver(user_logged_in)
def _note_sign_in(request: HttpRequest, **_: object) -> None:
    if hasattr(request, "session"):
        note(request)
