"""Shapes of roles and assignments in the API's documentation (hosted-contract section 10.3).

`rbac.role_specs` and `rbac.people_records` make what is answered and read what is sent.
"""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from rbac.authorizer import ACTIONS


class PermissionSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=ACTIONS)
    resource = serializers.RegexField(
        r"^(\*|[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*(:\*)?)$",
        max_length=120,
        help_text="`*` is everything, `nodes:*` is `nodes` and all below it.",
    )
    effect = serializers.ChoiceField(choices=("allow", "deny"), default="allow")
    conditions = serializers.DictField(
        child=serializers.CharField(max_length=200),
        required=False,
        help_text="Every named attribute must have this value; `${user}` is the caller's id.",
    )


class EffectivePermissionSerializer(PermissionSerializer):
    roleId = serializers.CharField(help_text="The role that it stands in.")
    inherited = serializers.BooleanField(help_text="Through a parent of a role that they have.")


class _RoleFields(serializers.Serializer[Any]):
    description = serializers.CharField(max_length=400, required=False, allow_blank=True)
    parentId = serializers.RegexField(
        r"^[A-Za-z0-9_-]{1,64}$", required=False, help_text="A role whose permissions it inherits."
    )
    permissions = PermissionSerializer(many=True)
    priority = serializers.IntegerField(required=False, min_value=-(10**6), max_value=10**6)


class RoleSerializer(_RoleFields):
    id = serializers.RegexField(r"^[A-Za-z0-9_-]{1,64}$")
    name = serializers.CharField(max_length=120)
    isBuiltIn = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class NewRoleSerializer(_RoleFields):
    id = serializers.RegexField(r"^[A-Za-z0-9_-]{1,64}$")
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)


class ChangedRoleSerializer(_RoleFields):
    name = serializers.CharField(max_length=120)


class AssignmentSerializer(serializers.Serializer[Any]):
    username = serializers.UUIDField(help_text="The person's id.")
    roleIds = serializers.ListField(child=serializers.CharField())
    displayName = serializers.CharField(required=False)
    email = serializers.CharField(required=False)
    providerType = serializers.ChoiceField(choices=("oidc",), required=False)
    providerId = serializers.CharField(required=False, help_text="Of who came by single sign-on.")
    lastLoginAt = serializers.DateTimeField(required=False)
    updatedAt = serializers.DateTimeField()


class RoleIdsSerializer(serializers.Serializer[Any]):
    roleIds = serializers.ListField(
        child=serializers.RegexField(r"^[A-Za-z0-9_-]{1,64}$"), max_length=100
    )


class IntegritySerializer(serializers.Serializer[Any]):
    org_id = serializers.UUIDField()
    db_accessible = serializers.BooleanField()
    tables_present = serializers.BooleanField()
    total_roles = serializers.IntegerField()
    built_in_role_count = serializers.IntegerField()
    total_assignments = serializers.IntegerField()
    healthy = serializers.BooleanField()
    error = serializers.CharField(required=False)


class ChangeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    action = serializers.CharField()
    entityType = serializers.ChoiceField(choices=("role", "assignment"))
    entityId = serializers.CharField()
    oldValue = serializers.CharField(allow_blank=True, help_text="JSON text; empty for nothing.")
    newValue = serializers.CharField(allow_blank=True)
    user = serializers.CharField(
        help_text="Who did it: `<kind>:<id>`; `staff` alone for the platform's staff."
    )
    timestamp = serializers.DateTimeField()


EXAMPLE_ROLE: Final[dict[str, Any]] = {
    "id": "night-shift",
    "name": "Night shift",
    "description": "Watches, and restarts what hangs.",
    "permissions": [
        {"action": "read", "resource": "*", "effect": "allow"},
        {"action": "execute", "resource": "actions", "effect": "allow"},
        {"action": "read", "resource": "audit_logs", "effect": "deny"},
    ],
    "isBuiltIn": False,
    "priority": 0,
    "createdAt": "2026-03-02T09:00:00Z",
    "updatedAt": "2026-03-02T09:00:00Z",
}
EXAMPLE_NEW_ROLE: Final[dict[str, Any]] = {
    "id": "night-shift",
    "name": "Night shift",
    "permissions": EXAMPLE_ROLE["permissions"],
}
EXAMPLE_ASSIGNMENT: Final[dict[str, Any]] = {
    "username": "0c2f0a9e-2d0b-4c64-8d0e-0b8f1c3d5a77",
    "roleIds": ["night-shift", "viewer"],
    "email": "ann@example.com",
    "updatedAt": "2026-03-02T09:00:00Z",
}
EXAMPLE_CHANGE: Final[dict[str, Any]] = {
    "id": 7,
    "action": "user_roles_updated",
    "entityType": "assignment",
    "entityId": "0c2f0a9e-2d0b-4c64-8d0e-0b8f1c3d5a77",
    "oldValue": '{"roleIds":["viewer"]}',
    "newValue": '{"roleIds":["night-shift","viewer"]}',
    "user": "person:f0b7f9a3-1f5e-4a6e-9a35-0f6d8f0b7f02",
    "timestamp": "2026-03-02T09:00:00Z",
}
