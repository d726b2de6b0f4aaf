"""What a caller may give: nobody hands out a place that may do what they may not themselves
(hosted-contract section 10.6)."""

from __future__ import annotations

from typing import Final

from audit import trail
from audit.actors import Actor
from tenants.door import Knock
from tenants.membership import ROLES
from tenants.models import MemberRole
from tenants.problems import Problem

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


def require(knock: Knock, role: str) -> None:
    """Raises Problem 403 `escalation_denied`, and audits the attempt."""
    if not may_give(knock, role):
        trail.record(
            action="member_role_given",
            actor=Actor.person(knock.known_user),
            organisation=knock.known_organisation.pk,
            subject=f"role {role}",
            success=False,
            path=knock.request.path,
            reason="escalation_denied",
        )
        raise Problem(
            403, "escalation_denied", "You cannot give a role that may do more than you may."
        )
