"""Nobody gives themselves or anybody else more than they have (hosted-contract section 10.6).

Three rules, for people; staff and software act for the platform and are not bound by them:

1. Nobody changes their own roles, nor a role that they hold, directly or through a parent.
2. Whoever changes a role, gives it or takes it must have everything that it names, allowed **or
   denied**, before and after. So taking a denial away, from a role, from a parent or with an
   assignment, takes the same as granting what it denies.
3. The owner keeps `admin`, and no role of theirs denies anything: nobody can lock them out.

All functions are pure; `rbac.roles` and `rbac.assignments` call them with everything locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import UUID

from rbac.authorizer import Grant
from rbac.role_tree import Tree
from tenants.http.problems import Problem

OWNERS_ROLE: Final = "admin"


@dataclass(frozen=True)
class Standing:
    """Who changes something: a person with these roles and permissions, or the platform (None)."""

    user: UUID | None
    roles: frozenset[str] = frozenset()
    grants: tuple[Grant, ...] = ()


def may_change_role(standing: Standing, before: Tree, after: Tree, role_id: str) -> None:
    """Raises Problem 403 `self_modification_denied`, `escalation_denied`."""
    if standing.user is None:
        return
    if role_id in before.above(standing.roles) | after.above(standing.roles):
        _refuse_self("You hold this role. Somebody who does not must change it.")
    require(standing, [*before.grants([role_id]), *after.grants([role_id])])


def may_assign(
    standing: Standing, tree: Tree, user: UUID, before: Set[str], after: Set[str]
) -> None:
    """Raises as above, for turning the roles of `user` from `before` to `after`."""
    if standing.user is None:
        return
    if standing.user == user:
        _refuse_self("Nobody changes their own roles. Ask another administrator.")
    require(standing, tree.grants(before ^ after))


def owner_keeps(tree: Tree, owners_roles: Set[str]) -> None:
    """Raises Problem 400 `owner_role_immutable` unless the owner would stay a full administrator."""
    if OWNERS_ROLE not in owners_roles:
        raise Problem(400, "owner_role_immutable", f"The owner keeps the role {OWNERS_ROLE}.")
    if any(grant.effect != "allow" for grant in tree.grants(owners_roles)):
        raise Problem(
            400, "owner_role_immutable", "Nothing may be denied to the owner: they could not act."
        )


def require(standing: Standing, named: Iterable[Grant]) -> None:
    """Raises Problem 403 `escalation_denied` for the first of `named` that is not theirs to give."""
    if standing.user is None:
        return
    for grant in named:
        if not holds(standing.grants, grant):
            extra: dict[str, Any] = {"action": grant.action, "resource": grant.resource}
            raise Problem(
                403,
                "escalation_denied",
                f"You may not {grant.action} {grant.resource} yourself, so you may not give, take "
                "or change that.",
                **extra,
            )


def holds(grants: Iterable[Grant], wanted: Grant) -> bool:
    """Whether `grants` allow all that `wanted` speaks of, whichever its effect is.

    Errs on the side of refusing: several permissions that only together come to `wanted` do not
    count, nor do conditions with placeholders, which mean somebody else for somebody else.
    """
    found = False
    for grant in grants:
        if grant.effect == "allow":
            found = found or covers(grant, wanted)
        elif _actions_meet(grant, wanted) and _resources_meet(grant.resource, wanted.resource):
            return False
    return found


def covers(wide: Grant, narrow: Grant) -> bool:
    """Whether `wide` speaks of every request that `narrow` speaks of; effects are not looked at."""
    return (
        (_any_action(wide) or (wide.action == narrow.action and not _any_action(narrow)))
        and _resource_covers(wide.resource, narrow.resource)
        and all(
            "${" not in str(value)
            and key in narrow.conditions
            and str(narrow.conditions[key]) == str(value)
            for key, value in wide.conditions.items()
        )
    )


def _any_action(grant: Grant) -> bool:
    return grant.action in ("admin", "*")


def _actions_meet(one: Grant, other: Grant) -> bool:
    return one.action == other.action or _any_action(one) or _any_action(other)


def _resource_covers(wide: str, narrow: str) -> bool:
    """`*` all; `x:*` is `x`, `x:y` and `x:y:*`; else only itself (as rbac.authorizer matches)."""
    if wide in ("*", narrow):
        return True
    stem = wide.removesuffix(":*")
    return stem != wide and (narrow == stem or narrow.startswith(f"{stem}:"))


def _resources_meet(one: str, other: str) -> bool:
    """Patterns nest, so two that meet at all are within one another."""
    return _resource_covers(one, other) or _resource_covers(other, one)


def _refuse_self(message: str) -> NoReturn:
    raise Problem(403, "self_modification_denied", message)
