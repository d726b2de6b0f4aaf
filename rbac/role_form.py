"""The role editor's form: rows of effect, action, resource and conditions; works without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from rbac.authorizer import ACTIONS, Grant
from rbac.role_specs import MOST_PERMISSIONS, RESOURCES
from tenants.http.problems import Problem

SPARE: Final = 3  # empty rows below those that are filled in
_WORDS: Final = {
    "admin": "do everything with",
    "read": "read",
    "write": "change",
    "delete": "delete",
    "plan": "plan changes of",
    "approve": "approve changes of",
    "execute": "run",
}


@dataclass
class Row:
    """One permission as typed; without a resource it does not count."""

    effect: str = "allow"
    action: str = "read"
    resource: str = ""
    conditions: str = ""


@dataclass
class RoleForm:
    id: str = ""
    name: str = ""
    description: str = ""
    parent: str = ""
    rows: list[Row] = field(default_factory=list)
    seen: str = ""  # tag of the role that the form was filled from
    error: str = ""

    actions = tuple(
        (action, "admin (any action)" if action == "admin" else action) for action in ACTIONS
    )
    resources = RESOURCES

    @classmethod
    def of(cls, record: Mapping[str, Any], seen: str) -> RoleForm:
        rows = [
            Row(
                each["effect"],
                each["action"],
                each["resource"],
                ", ".join(f"{key}={value}" for key, value in each.get("conditions", {}).items()),
            )
            for each in record["permissions"]
        ]
        return cls(
            record["id"],
            record["name"],
            record["description"],
            record.get("parentId", ""),
            rows + spare(len(rows)),
            seen,
        )

    @classmethod
    def posted(cls, post: QueryDict) -> RoleForm:
        columns = [post.getlist(name) for name in ("effect", "action", "resource", "conditions")]
        rows = [
            Row(*(text.strip() for text in row))
            for row in list(zip(*columns, strict=False))[:MOST_PERMISSIONS]
        ]
        rows = [row for row in rows if row.resource]
        texts = {
            name: post.get(name, "").strip()
            for name in ("id", "name", "description", "parent", "seen")
        }
        return cls(rows=rows + spare(len(rows)), **texts)

    def body(self) -> dict[str, Any]:
        """As the API takes it. Raises Problem 400 `invalid_permission`."""
        return {
            "name": self.name,
            "description": self.description,
            "parentId": self.parent,
            "permissions": [
                {
                    "action": row.action,
                    "resource": row.resource,
                    "effect": row.effect,
                    "conditions": _conditions(row.conditions),
                }
                for row in self.rows
                if row.resource
            ],
        }


def spare(filled: int) -> list[Row]:
    return [Row() for _ in range(min(SPARE, MOST_PERMISSIONS - filled))]


def words(grant: Grant) -> str:
    """A permission for people: `May read everything`."""
    what = "everything" if grant.resource == "*" else grant.resource
    if what.endswith(":*"):
        what = f"{what[:-2]} and all below"
    may = "May" if grant.effect == "allow" else "Must not"
    text = f"{may} {_WORDS.get(grant.action, grant.action)} {what}"
    if grant.conditions:
        text += ", if " + " and ".join(f"{k} is {v}" for k, v in grant.conditions.items())
    return text


def _conditions(text: str) -> dict[str, str]:
    """`site=north, owner=${user}`"""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise Problem(
                400, "invalid_permission", f"Write conditions as name=value, not “{part[:60]}”."
            )
        found[key.strip()] = value.strip()
    return found
