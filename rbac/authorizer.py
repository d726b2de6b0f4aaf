"""Who may do what inside one organisation (hosted-contract section 10.3).

A matching deny beats every allow, in whatever role it stands; what nothing allows is denied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from rbac import cache, mobile, scopes
from rbac.models import Assignment, Permission, Role
from tenants import advice
from tenants.door import Knock, Refused
from tenants.models import MemberRole, Membership, Organisation
from tenants.schemas import in_schema

ACTIONS = ("read", "write", "delete", "admin", "plan", "approve", "execute")
MAX_DEPTH = 10  # of parents above an assigned role
REMEMBERED = 512  # questions that one person's rights keep the answer to
_PLACE = re.compile(r"\$\{(user|attr\.[^}]+)\}")


@dataclass(frozen=True)
class Grant:
    """One permission that a person has through a role."""

    action: str
    resource: str
    effect: str = "allow"
    conditions: Mapping[str, Any] = field(default_factory=dict)


def decide(
    grants: Iterable[Grant], action: str, resource: str, attributes: Mapping[str, str]
) -> bool:
    """Whether `grants` allow `action` on `resource`. `attributes` has `user` and what else is known."""
    allowed = False
    for grant in grants:
        if not (_action_fits(grant, action) and _resource_fits(grant.resource, resource)):
            continue
        if not _conditions_hold(grant.conditions, attributes):
            continue
        if grant.effect != "allow":
            return False
        allowed = True
    return allowed


def grants_of(user_id: UUID) -> list[Grant]:
    """All permissions of a person in the current schema, inherited ones included: one query."""
    with connection.cursor() as cursor:
        cursor.execute(_GRANTS, {"user": user_id, "depth": MAX_DEPTH})
        rows = cursor.fetchall()
    # Django has the driver hand over JSON as text.
    return [Grant(a, r, effect, json.loads(conditions)) for a, r, effect, conditions in rows]


class Rights:
    """What one person may do, as it was at one moment; remembers its answers.

    Threads share it: an answer that two of them work out at once is the same one.
    """

    __slots__ = ("_answers", "_conditional", "grants", "size")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(grants)
        self._conditional = any(grant.conditions for grant in self.grants)
        self.size = len(self.grants) + sum(len(grant.conditions) for grant in self.grants)
        self._answers: dict[tuple[Any, ...], bool] = {}

    def allow(self, action: str, resource: str, attributes: Mapping[str, str]) -> bool:
        """As `decide`. Attributes only matter, and only cost time, where conditions look at them."""
        question: tuple[Any, ...] = (action, resource)
        if self._conditional:
            question = (action, resource, frozenset(attributes.items()))
        answer = self._answers.get(question)
        if answer is None:
            answer = decide(self.grants, action, resource, attributes)
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[question] = answer
        return answer


def rights_of(organisation: Organisation, user_id: UUID) -> Rights:
    """A person's rights at the version of `organisation`'s row as it was read (see rbac.cache).

    What a change takes away is gone with the next request, in every process (F75).
    """
    name, version = organisation.schema_name, organisation.rbac_version
    rights = cache.get(name, user_id, version)
    if rights is None:
        with in_schema(organisation):
            rights = Rights(grants_of(user_id))
        cache.put(name, user_id, version, rights)
    return rights


def _lift(asked: advice.Asked, code: str) -> advice.Advice:
    because = f"No role of {asked.person} in it allows this, or one of them denies it."
    label = asked.organisation.label
    owners = Membership.objects.filter(
        organisation=asked.organisation, user=asked.person, role=MemberRole.OWNER
    )
    if asked.person is not None and owners.exists():
        # Perhaps nobody in it is left who could give the owner a role.
        return advice.Advice(
            because,
            "The command gives its owner `admin` back and changes nobody else's roles. If more "
            f"was lost, look first at `manage.py org_restore {label} --dry-run`: it shows what "
            "the last backup would bring back.",
            f"manage.py restore_admin --organisation {label} --reason …",
        )
    return advice.Advice(
        because,
        "Somebody who may manage its people gives them a role, on its Roles page. Staff have no "
        "say inside; the change log under Audit shows what was taken away.",
    )


@advice.explained("The person may open the first page", _lift)
def permitted(knock: Knock) -> None:
    """The last check of the door: the token's reach first, then what its person may do."""
    user, required = knock.known_user, knock.requirement
    held: Collection[str] = (scopes.EVERYTHING,)
    if knock.token is not None:
        if mobile.SCOPE in knock.token.scopes:
            mobile.check(knock)
        else:
            held = knock.token.scopes
            scopes.require(held, required.action, required.resource)
    rights = rights_of(knock.known_organisation, user.pk)
    attributes = {"user": str(user.pk)}
    knock.decide = lambda action, resource: (
        scopes.covers(held, action, resource) and rights.allow(action, resource, attributes)
    )
    if not knock.decide(required.action, required.resource):
        raise _forbidden(knock)


def _forbidden(knock: Knock) -> Refused:
    required = knock.requirement
    return Refused(
        403,
        "forbidden",
        "You may not do this in this organisation.",
        {"action": required.action, "resource": required.resource},
    )


def _action_fits(grant: Grant, action: str) -> bool:
    return grant.action in (action, "admin", "*")


def _resource_fits(granted: str, resource: str) -> bool:
    """`*` is everything, `x:*` is `x` and all below it; plain `x` is not `x:y`."""
    if granted in ("*", resource):
        return True
    if granted.endswith(":*"):
        stem = granted[:-2]
        return resource == stem or resource.startswith(f"{stem}:")
    return False


def _conditions_hold(conditions: Mapping[str, Any], attributes: Mapping[str, str]) -> bool:
    """Every key must equal the request's attribute; an attribute that is not known never does."""
    for key, wanted in conditions.items():
        expected = _fill(str(wanted), attributes)
        if expected is None or attributes.get(key) != expected:
            return False
    return True


def _fill(text: str, attributes: Mapping[str, str]) -> str | None:
    names = [m.removeprefix("attr.") for m in _PLACE.findall(text)]
    if any(name not in attributes for name in names):
        return None
    return _PLACE.sub(lambda m: attributes[m[1].removeprefix("attr.")], text)


_GRANTS = f"""
WITH RECURSIVE held (id, depth) AS (
    SELECT role_id, 0 FROM {Assignment._meta.db_table} WHERE "user" = %(user)s
    UNION
    SELECT role.parent_id, held.depth + 1
    FROM held JOIN {Role._meta.db_table} role ON role.id = held.id
    WHERE role.parent_id IS NOT NULL AND held.depth < %(depth)s
)
SELECT DISTINCT p.action, p.resource, p.effect, p.conditions
FROM {Permission._meta.db_table} p
WHERE p.role_id IN (SELECT id FROM held)
"""  # noqa: S608  table names are Django's own
