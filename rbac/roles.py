"""Custom roles: make, change, delete (hosted-contract sections 10.3 and 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from audit import trail
from audit.actors import Actor
from rbac import changes, escalation, holding
from rbac.attempts import CREATE, DELETE, UPDATE, Names, attempt
from rbac.models import Assignment, GroupMapping, Permission, Role
from rbac.role_specs import RoleSpec, public_record
from rbac.role_tree import Node, Tree
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership, Organisation

MOST: Final = 100  # custom roles of one organisation: all are read for every change of one


def create(
    organisation: Organisation, role_id: str, spec: RoleSpec, *, actor: Actor, reason: str = ""
) -> dict[str, Any]:
    """A new role; returns its public record.

    Raises Problem 409 `duplicate_id`, `too_many_roles`; 400 `invalid_parent`, `parent_too_deep`,
    `too_many_permissions`; 403 `escalation_denied`; and what `attempt` raises.
    """
    with attempt(
        organisation, actor=actor, names=CREATE, subject=f"role {role_id}", reason=reason
    ) as standing:
        before = Tree.load()
        if role_id in before:
            raise Problem(409, "duplicate_id", f"There is a role {role_id} already.")
        if sum(not node.is_builtin for node in before.nodes.values()) >= MOST:
            raise Problem(409, "too_many_roles", f"An organisation has at most {MOST} roles.")
        after = _with(before, role_id, spec)
        escalation.may_change_role(standing, before, after, role_id)
        holding.may_change_role(before, after, role_id)
        role = Role.objects.create(
            id=role_id,
            name=spec.name,
            description=spec.description,
            parent_id=spec.parent,
            priority=spec.priority,
        )
        _write(role, spec)
        new = record_of(role)
        _note(CREATE, organisation, role_id, None, new, actor, reason)
    return new


def update(
    organisation: Organisation,
    role_id: str,
    spec: RoleSpec,
    *,
    actor: Actor,
    reason: str = "",
    expecting: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Makes a custom role what `spec` says; bites with everybody's next request.

    `expecting` gets the role's record as it is, locked, and may refuse it (If-Match).
    Raises Problem 404 `not_found`; 409 `builtin_role_immutable`; 400 `invalid_parent`,
    `parent_cycle`, `parent_too_deep`, `owner_role_immutable`, `too_many_permissions`; 403
    `self_modification_denied`, `escalation_denied`; and what `attempt` raises.
    """
    with attempt(
        organisation, actor=actor, names=UPDATE, subject=f"role {role_id}", reason=reason
    ) as standing:
        role = _custom(role_id)
        old = record_of(role)
        if expecting is not None:
            expecting(old)
        before = Tree.load()
        after = _with(before, role_id, spec)
        escalation.may_change_role(standing, before, after, role_id)
        owners_roles = _owners_roles(organisation)
        if role_id in after.above(owners_roles):
            escalation.owner_keeps(after, owners_roles)
        holding.may_change_role(before, after, role_id)
        role.name, role.description = spec.name, spec.description
        role.parent_id, role.priority = spec.parent, spec.priority
        role.save()
        role.permissions.all().delete()
        _write(role, spec)
        new = record_of(role)
        _note(UPDATE, organisation, role_id, old, new, actor, reason)
    return new


def delete(
    organisation: Organisation,
    role_id: str,
    *,
    actor: Actor,
    reason: str = "",
    expecting: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Deletes a custom role and takes it from everybody who has it.

    Raises Problem 404 `not_found`; 409 `builtin_role_immutable`, `role_has_children`,
    `role_is_mapped`; 403 `self_modification_denied`, `escalation_denied`; and what `attempt` raises.
    """
    with attempt(
        organisation, actor=actor, names=DELETE, subject=f"role {role_id}", reason=reason
    ) as standing:
        role = _custom(role_id)
        old = record_of(role)
        if expecting is not None:
            expecting(old)
        if Role.objects.filter(parent=role).exists():
            raise Problem(409, "role_has_children", "Other roles inherit from this one.")
        if GroupMapping.objects.filter(role=role).exists():
            # Without its last mapping a provider would stop taking roles away (section 11.3).
            raise Problem(409, "role_is_mapped", "A group of single sign-on gives this role.")
        before = Tree.load()
        escalation.may_change_role(standing, before, before.lacking(role_id), role_id)
        holders = list(Assignment.objects.filter(role=role).values_list("user", flat=True))
        for user_id in holders:
            changes.log(
                "user_unassigned",
                "assignment",
                str(user_id),
                old={"roleIds": [role_id]},
                new=None,
                actor=actor,
            )
        role.delete()
        _note(DELETE, organisation, role_id, old, None, actor, reason, taken_from=len(holders))


def record_of(role: Role) -> dict[str, Any]:
    """A role's public record, in the current schema."""
    return public_record(role, role.permissions.order_by("pk"))


def listed() -> list[dict[str, Any]]:
    """All roles of the current schema, built-in ones first, then by name; two queries."""
    roles = Role.objects.prefetch_related("permissions").order_by("-is_builtin", "name", "pk")
    return [
        public_record(role, sorted(role.permissions.all(), key=lambda each: each.pk))
        for role in roles
    ]


def found(role_id: str) -> Role:
    """Raises Problem 404 `not_found`."""
    role = Role.objects.filter(pk=role_id).first()
    if role is None:
        raise Problem(404, "not_found", "There is no such role.")
    return role


def _custom(role_id: str) -> Role:
    role = found(role_id)
    if role.is_builtin:
        raise Problem(
            409, "builtin_role_immutable", "Built-in roles stay as they are. Make one of your own."
        )
    return role


def _with(before: Tree, role_id: str, spec: RoleSpec) -> Tree:
    if spec.parent is not None and spec.parent not in before and spec.parent != role_id:
        raise Problem(400, "invalid_parent", f"There is no role {spec.parent} to inherit from.")
    after = before.having(Node(role_id, spec.parent, spec.grants))
    if after.turns_in_circles(role_id):
        raise Problem(400, "parent_cycle", "The role would inherit from itself.")
    if after.too_deep(role_id):
        raise Problem(400, "parent_too_deep", "More than ten roles would inherit in one line.")
    return after


def _owners_roles(organisation: Organisation) -> frozenset[str]:
    owner = Membership.objects.get(organisation=organisation, role=MemberRole.OWNER)
    return frozenset(changes.roles_held(owner.user_id))


def _write(role: Role, spec: RoleSpec) -> None:
    Permission.objects.bulk_create(
        Permission(
            role=role,
            action=grant.action,
            resource=grant.resource,
            effect=grant.effect,
            conditions=dict(grant.conditions),
        )
        for grant in spec.grants
    )


def _note(
    names: Names,
    organisation: Organisation,
    role_id: str,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    actor: Actor,
    reason: str,
    **more: Any,
) -> None:
    changes.log(names.done, "role", role_id, old=old, new=new, actor=actor)
    trail.record(
        action=names.done,
        actor=actor,
        organisation=organisation.pk,
        subject=f"role {role_id}",
        reason=reason,
        before=old,
        after={**(new or {}), **more} or None,
    )
