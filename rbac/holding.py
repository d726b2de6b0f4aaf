"""How much one person may hold: at most 1,000 permissions, inherited ones included.

All that somebody holds is read, kept in memory and gone through to answer for them (rbac.cache), so
one organisation must not be able to make that large. What was more before this rule may stay and
shrink; nothing makes it grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rbac.models import Assignment, GroupMapping
from rbac.role_tree import Tree
from tenants.http.problems import Problem

MOST: Final = 1000  # permissions: ten full roles


def count(tree: Tree, role_ids: Iterable[str]) -> int:
    """Permissions that stand in these roles and in all that they inherit from."""
    return sum(len(tree.nodes[each].grants) for each in tree.above(role_ids))


def may_hold(
    tree: Tree, role_ids: Iterable[str], *, instead_of: int = 0, whom: str = "One person"
) -> None:
    """Raises Problem 400 `too_many_permissions` where these roles come to more than is allowed,
    and to more than the `instead_of` permissions that there were."""
    found = count(tree, role_ids)
    if found > MOST and found > instead_of:
        raise Problem(
            400,
            "too_many_permissions",
            f"{whom} would have {found} permissions, inherited ones included; {MOST} is the most.",
        )


def may_change_role(before: Tree, after: Tree, role_id: str) -> None:
    """Raises as above when a change of one role, in the current schema, would give too much to
    somebody who has it or one below it, to a provider's groups together, or to whoever gets it."""
    below = after.below(role_id)
    for each in sorted(below):
        may_hold(after, [each], instead_of=count(before, [each]), whom=f"Whoever has {each}")
    for rows, whom in (
        (_together(Assignment, "user", below), "Somebody who has this role"),
        (_together(GroupMapping, "provider", below), "Somebody in all groups of a provider"),
    ):
        for held in rows:
            may_hold(after, held, instead_of=count(before, held), whom=whom)


def _together(model: Any, by: str, role_ids: set[str]) -> set[frozenset[str]]:
    """The sets of roles of all people (or providers) that have one of `role_ids`; one query."""
    concerned = model.objects.filter(role_id__in=role_ids).values(by)
    found: dict[Any, set[str]] = {}
    rows = model.objects.filter(**{f"{by}__in": concerned}).values_list(by, "role_id")
    for whose, role_id in rows.iterator(chunk_size=2000):
        found.setdefault(whose, set()).add(role_id)
    return {frozenset(held) for held in found.values()}
