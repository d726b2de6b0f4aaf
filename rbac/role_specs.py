"""What a custom role may look like: reads it from JSON, shows it as JSON (hosted-contract 10.3)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rbac.authorizer import ACTIONS, Grant
from rbac.models import Permission, Role
from rbac.role_tree import grant_of
from tenants.http import bodies
from tenants.http.problems import Problem

# Bounds of what one organisation can make us read for every permission check.
MOST_PERMISSIONS: Final = 100  # of one role
MOST_CONDITIONS: Final = 8  # of one permission
LONGEST_NAME: Final = 120
LONGEST_DESCRIPTION: Final = 400
LONGEST_CONDITION: Final = 200

# Offered where people choose; any other name is as good (section 10.3).
RESOURCES: Final = (
    *("organisation", "settings", "users", "audit_logs", "billing", "nodes", "vms", "containers"),
    *("alerts", "compliance", "discovery", "ai", "actions", "license"),
)

ROLE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESOURCE = re.compile(r"\*|[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*(:\*)?")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FIELDS = frozenset({"id", "name", "description", "parentId", "permissions", "priority"})
_NO_TEXT = ("Cc", "Cs")  # control characters, lone surrogates
# Sent back by whoever edits what they have read; ours to say.
_OURS = frozenset({"isBuiltIn", "createdAt", "updatedAt"})
KNOWN: Final = _FIELDS | _OURS


@dataclass(frozen=True)
class RoleSpec:
    """What a person decides about a role, checked by itself; whether the parent exists is not."""

    name: str
    description: str = ""
    parent: str | None = None
    priority: int = 0
    grants: tuple[Grant, ...] = ()


def role_id(value: Any) -> str:
    """Raises Problem 400 `invalid_role_id`."""
    if not isinstance(value, str) or not ROLE_ID.fullmatch(value):
        raise Problem(
            400, "invalid_role_id", "A role's id has 1 to 64 letters, digits, hyphens, underscores."
        )
    return value


def role_ids(value: Any) -> list[str]:
    """Each once, in order. Raises Problem 400 `invalid_role_id` for anything but a list of ids."""
    if not isinstance(value, list):
        raise Problem(400, "invalid_role_id", "roleIds must be a list of role ids.")
    return list(dict.fromkeys(role_id(each) for each in value))


def spec(body: Mapping[str, Any], *, name: str = "") -> RoleSpec:
    """The role that a body describes; without a name it is called `name`.

    Raises Problem 400 `invalid_request` (control characters in conditions among it),
    `invalid_role_id` (of the parent), `invalid_permission`.
    """
    parent = body.get("parentId")
    priority = body.get("priority", 0)
    permissions = body.get("permissions", [])
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > 10**6:
        raise Problem(400, "invalid_request", "priority must be a whole number up to a million.")
    if not isinstance(permissions, list):
        raise Problem(400, "invalid_request", "permissions must be a list.")
    if len(permissions) > MOST_PERMISSIONS:
        raise Problem(
            400, "invalid_permission", f"A role has at most {MOST_PERMISSIONS} permissions."
        )
    grants = tuple(_grant(each) for each in permissions)
    said = [(grant.action, grant.resource, grant.effect) for grant in grants]
    if len(set(said)) < len(said):
        raise Problem(400, "invalid_permission", "A permission stands there twice.")
    fields = dict(body)
    return RoleSpec(
        name=_line(bodies.text(fields, "name", longest=LONGEST_NAME), LONGEST_NAME) or name,
        description=_line(
            bodies.text(fields, "description", longest=LONGEST_DESCRIPTION), LONGEST_DESCRIPTION
        ),
        parent=role_id(parent) if parent not in (None, "") else None,
        priority=priority,
        grants=grants,
    )


def public_record(role: Role, permissions: Iterable[Permission]) -> dict[str, Any]:
    """A role in the contract's shape, with its own permissions; times are RFC 3339 in UTC."""
    record: dict[str, Any] = {
        "id": role.pk,
        "name": role.name,
        "description": role.description,
        "permissions": [permission_record(grant_of(each)) for each in permissions],
        "isBuiltIn": role.is_builtin,
        "priority": role.priority,
        "createdAt": f"{role.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "updatedAt": f"{role.updated_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    if role.parent_id is not None:
        record["parentId"] = role.parent_id
    return record


def permission_record(grant: Grant) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "action": grant.action,
        "resource": grant.resource,
        "effect": grant.effect,
    }
    if grant.conditions:
        shown["conditions"] = dict(grant.conditions)
    return shown


def _grant(value: Any) -> Grant:
    if not isinstance(value, dict) or value.keys() - {"action", "resource", "effect", "conditions"}:
        raise Problem(
            400, "invalid_permission", "A permission has action, resource, effect, conditions."
        )
    action, resource = value.get("action"), value.get("resource")
    effect, conditions = value.get("effect") or "allow", value.get("conditions") or {}
    if action not in ACTIONS:
        raise Problem(400, "invalid_permission", f"action must be one of {', '.join(ACTIONS)}.")
    if not isinstance(resource, str) or len(resource) > 120 or not _RESOURCE.fullmatch(resource):
        raise Problem(
            400,
            "invalid_permission",
            "resource must be *, a name such as nodes or nodes:pve1, or a name ending in :*.",
        )
    if effect not in ("allow", "deny"):
        raise Problem(400, "invalid_permission", "effect must be allow or deny.")
    return Grant(action, resource, effect, _conditions(conditions))


def _conditions(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MOST_CONDITIONS:
        raise Problem(
            400, "invalid_permission", f"conditions must be an object of up to {MOST_CONDITIONS}."
        )
    for key, wanted in value.items():
        text = isinstance(wanted, str) and 0 < len(wanted) <= LONGEST_CONDITION
        if not text or not _KEY.fullmatch(key):
            raise Problem(400, "invalid_permission", "Conditions compare names with texts.")
        if any(unicodedata.category(each) in _NO_TEXT for each in wanted):
            # A form can spell NUL, which PostgreSQL cannot hold.
            raise Problem(400, "invalid_request", "A condition holds control characters.")
    return dict(value)


def _line(value: str, longest: int) -> str:
    return bodies.one_line(value, longest=longest)
