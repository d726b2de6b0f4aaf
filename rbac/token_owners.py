"""Whose token it is, and who else may touch it."""

from __future__ import annotations

from uuid import UUID

from rbac import mobile
from rbac.models import ApiToken
from tenants.door import Knock, Refused
from tenants.http.problems import Problem


def administers(knock: Knock) -> bool:
    """Whether this caller may see and end everybody's tokens and phones."""
    return knock.may("admin", "users")


def reachable(knock: Knock, token_id: UUID, *, device: bool = False) -> ApiToken:
    """The caller's own token of the current schema, or anybody's for who administers people; with
    `device` only a phone's. Raises Problem 404 `not_found`, Refused 403 `forbidden`."""
    rows = ApiToken.objects.filter(pk=token_id)
    token = (rows.filter(purpose=mobile.PURPOSE) if device else rows).first()
    if token is None:
        kind = "phone" if device else "token"
        raise Problem(404, "not_found", f"There is no such {kind}.")
    if token.user != knock.known_user.pk and not administers(knock):
        raise not_yours()
    return token


def not_yours() -> Refused:
    return Refused(
        403,
        "forbidden",
        "This is another person's. Who administers people may see and remove it.",
        {"action": "admin", "resource": "users"},
    )
