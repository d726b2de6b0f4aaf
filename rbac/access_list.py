"""Who may do what in an organisation, as plain lists: so that two states of it can be compared."""

from __future__ import annotations

from typing import Any

from rbac.models import Assignment, GroupMapping, Permission, Role
from tenants import signals
from tenants.models import Organisation
from tenants.schemas import in_schema

Access = dict[str, list[str]]


def connect() -> None:
    signals.access_asked.connect(_answer, dispatch_uid="rbac.access_list")


def describe(organisation: Organisation) -> Access:
    """{"role <id>": permissions and parent, "user <id>": role ids, "group <provider> <name>": role}.

    A built-in role counts like any other: somebody may have changed it in the tables.
    """
    found: Access = {}
    with in_schema(organisation):
        for role, parent in Role.objects.values_list("pk", "parent"):
            found[f"role {role}"] = [f"inherits {parent}"] if parent else []
        rows = Permission.objects.values_list("role_id", "effect", "action", "resource")
        for role, *may in rows:
            found[f"role {role}"].append(" ".join(may))
        for user, role in Assignment.objects.values_list("user", "role_id"):
            found.setdefault(f"user {user}", []).append(role)
        for provider, group, role in GroupMapping.objects.values_list("provider", "group", "role"):
            found[f"group {provider} {group}"] = [role]
    return {subject: sorted(has) for subject, has in found.items()}


def _answer(sender: Any, *, organisation: Organisation, **_: Any) -> Access:
    return describe(organisation)
