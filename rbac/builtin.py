"""The four built-in roles (hosted-contract section 10.2), the same in every organisation."""

from __future__ import annotations

from dataclasses import dataclass

from rbac.models import Permission, Role
from tenants.models import MemberRole


@dataclass(frozen=True)
class Builtin:
    """A role as it is seeded; `permissions` are (action, resource), all of them allowed."""

    id: str
    name: str
    description: str
    priority: int
    permissions: tuple[tuple[str, str], ...]


ROLES = (
    Builtin("admin", "Administrator", "May do everything.", 100, (("admin", "*"),)),
    Builtin(
        "operator",
        "Operator",
        "Reads everything; changes nodes, virtual machines, containers and alerts.",
        50,
        (
            ("read", "*"),
            ("write", "nodes"),
            ("write", "vms"),
            ("write", "containers"),
            ("write", "alerts"),
        ),
    ),
    Builtin("viewer", "Viewer", "Reads everything.", 10, (("read", "*"),)),
    Builtin(
        "auditor",
        "Auditor",
        "Reads the audit log, nodes, alerts and compliance.",
        10,
        (
            ("read", "audit_logs"),
            ("read", "nodes"),
            ("read", "alerts"),
            ("read", "compliance"),
        ),
    ),
)

# Design section 6, "Roles". Auditors are made by assignment only.
ROLE_OF_MEMBER = {
    MemberRole.OWNER.value: "admin",
    MemberRole.ADMIN.value: "admin",
    MemberRole.EDITOR.value: "operator",
    MemberRole.VIEWER.value: "viewer",
}


def seed() -> None:
    """Makes the built-in roles in the current schema what they should be; safe to repeat."""
    for builtin in ROLES:
        role, _ = Role.objects.update_or_create(
            id=builtin.id,
            defaults={
                "name": builtin.name,
                "description": builtin.description,
                "priority": builtin.priority,
                "is_builtin": True,
                "parent": None,
            },
        )
        wanted = set(builtin.permissions)
        for permission in role.permissions.all():
            key = (permission.action, permission.resource)
            if permission.effect == "allow" and not permission.conditions and key in wanted:
                wanted.remove(key)
            else:
                permission.delete()
        Permission.objects.bulk_create(
            [
                Permission(role=role, action=a, resource=r)
                for a, r in builtin.permissions
                if (a, r) in wanted
            ]
        )
