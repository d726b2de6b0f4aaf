"""Which places a page offers to give: nobody hands out one that may do what they may not themselves
(hosted-contract section 10.6).

This is for show, sampled and as of the door; the verbs ask exactly, with the organisation locked
(`tenants.people.backing`, `rbac.people`)."""

from __future__ import annotations

from typing import Final

from tenants.door import Knock
from tenants.models import MemberRole
from tenants.people.membership import ROLES

_ACTIONS: Final = ("read", "write", "delete", "admin", "plan", "approve", "execute")
_RESOURCES: Final = ("*", "organisation", "settings", "users", "audit_logs", "billing", "nodes")
# What stands for each place's built-in role. Asked resource by resource, so that a deny shows.
_MUST: Final[dict[str, list[tuple[str, str]]]] = {
    MemberRole.ADMIN: [(action, resource) for action in _ACTIONS for resource in _RESOURCES],
    MemberRole.EDITOR: [
        *(("read", resource) for resource in _RESOURCES),
        *(("write", resource) for resource in ("nodes", "vms", "containers", "alerts")),
    ],
    MemberRole.VIEWER: [("read", resource) for resource in _RESOURCES],
}


def may_give(knock: Knock, role: str) -> bool:
    return all(knock.may(action, resource) for action, resource in _MUST[role])


def givable(knock: Knock) -> list[MemberRole]:
    """The roles that this caller may give, highest first."""
    return [role for role in ROLES if may_give(knock, role)]
