"""All roles of one organisation in memory, with their parents: what the rules of change work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from rbac.authorizer import MAX_DEPTH, Grant
from rbac.models import Permission, Role


@dataclass(frozen=True)
class Node:
    """A role: its own permissions, without those of its parents."""

    id: str
    parent: str | None = None
    grants: tuple[Grant, ...] = ()
    is_builtin: bool = False


class Tree:
    """Roles by id. Nothing here touches the database but `load`."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}

    @classmethod
    def load(cls) -> Self:
        """The current schema's roles, in two queries."""
        grants: dict[str, list[Grant]] = {}
        for each in Permission.objects.order_by("pk"):
            grants.setdefault(each.role_id, []).append(grant_of(each))
        return cls(
            Node(role.pk, role.parent_id, tuple(grants.get(role.pk, ())), role.is_builtin)
            for role in Role.objects.all()
        )

    def __contains__(self, role_id: object) -> bool:
        return role_id in self.nodes

    def line(self, role_id: str) -> list[str]:
        """The role and its parents, from below; a circle ends where it would begin again."""
        found: list[str] = []
        at: str | None = role_id
        while at is not None and at in self.nodes and at not in found:
            found.append(at)
            at = self.nodes[at].parent
        return found

    def above(self, role_ids: Iterable[str]) -> set[str]:
        """These roles and all that they inherit from."""
        return {each for role_id in role_ids for each in self.line(role_id)}

    def below(self, role_id: str) -> set[str]:
        """The role and all that inherit from it."""
        return {each for each in self.nodes if role_id in self.line(each)}

    def grants(self, role_ids: Iterable[str]) -> list[Grant]:
        """What holding these roles gives and denies, inherited permissions included."""
        return [grant for each in sorted(self.above(role_ids)) for grant in self.nodes[each].grants]

    def having(self, node: Node) -> Tree:
        """The same with this role added or replaced."""
        return Tree({**self.nodes, node.id: node}.values())

    def lacking(self, role_id: str) -> Tree:
        return Tree(node for node in self.nodes.values() if node.id != role_id)

    def turns_in_circles(self, role_id: str) -> bool:
        """Whether the role would inherit from itself."""
        top = self.nodes[self.line(role_id)[-1]]
        return top.parent is not None and top.parent in self.nodes

    def too_deep(self, role_id: str) -> bool:
        """Whether the role, or one below it, would have more parents than are followed."""
        return any(len(self.line(each)) > MAX_DEPTH + 1 for each in self.below(role_id))


def grant_of(permission: Permission) -> Grant:
    return Grant(
        permission.action, permission.resource, str(permission.effect), permission.conditions
    )
