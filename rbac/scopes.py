"""What an API token may be used for: the one table of scopes (hosted-contract sections 2, 5.3, 9, 24).

A scope only ever narrows. A request by token passes when the token holds the scope of what the
handler requires and its person is allowed that as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rbac import mobile
from tenants.door import Refused
from tenants.http.problems import Problem

READ: Final = "settings:read"
WRITE: Final = "settings:write"
AUDIT: Final = "audit:read"
EVERYTHING: Final = "*"


@dataclass(frozen=True)
class Scope:
    """`action` on `resource` is what a person must be allowed to hand the scope out."""

    id: str
    title: str
    explanation: str
    action: str
    resource: str


ALL: Final = (
    Scope(
        READ,
        "Read",
        "See the organisation, its settings, people, roles, phones and billing state.",
        "read",
        "settings",
    ),
    Scope(
        WRITE,
        "Change",
        "Change settings and remove phones and tokens. People and roles are changed by signed-in "
        "people only.",
        "write",
        "settings",
    ),
    Scope(AUDIT, "Read the audit trail", "See who did what, and when.", "read", "audit_logs"),
    Scope(
        mobile.SCOPE,
        "Paired phone",
        "Reach the organisation through the relay. Made by pairing a phone.",
        "write",
        "settings",
    ),
    Scope(
        EVERYTHING,
        "Everything",
        "Whatever you may do, now and later, as far as a token may do it at all.",
        "admin",
        "*",
    ),
)
BY_ID: Final = {scope.id: scope for scope in ALL}
# What people choose from. A phone's token is made by pairing it, with its own short life.
CHOOSABLE: Final = tuple(scope for scope in ALL if scope.id != mobile.SCOPE)


def required(action: str, resource: str) -> str:
    """The scope that a token needs for what a handler declares."""
    if action != "read":
        return WRITE
    return AUDIT if resource == "audit_logs" else READ


def covers(held: Collection[str], action: str, resource: str) -> bool:
    return EVERYTHING in held or required(action, resource) in held


def require(held: Collection[str], action: str, resource: str) -> None:
    """Raises Refused 403 `missing_scope` (section 5.3)."""
    if not covers(held, action, resource):
        scope = required(action, resource)
        raise Refused(
            403, "missing_scope", f"This token lacks the scope {scope}.", {"requiredScope": scope}
        )


def chosen(value: Any) -> list[str]:
    """A request's scopes, each once and in the table's order.

    Raises Problem 400 `invalid_scopes` for none at all, unknown ones and that of phones.
    """
    known = [scope.id for scope in CHOOSABLE]
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise Problem(400, "invalid_scopes", "scopes must be a list with at least one scope.")
    if mobile.SCOPE in value:
        raise Problem(400, "invalid_scopes", "A phone's token is made by pairing the phone.")
    if unknown := sorted(set(value) - set(known)):
        raise Problem(
            400,
            "invalid_scopes",
            f"scopes may be {', '.join(known)}.",
            f"Not known: {', '.join(unknown)[:200]}",
        )
    return [each for each in known if each in value]


def words(held: Sequence[str]) -> str:
    """For people: `Read, Change`."""
    return ", ".join(BY_ID[each].title if each in BY_ID else each for each in held)
