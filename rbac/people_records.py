"""An organisation's people with their roles, in the contract's shape (hosted-contract 10.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from rbac.assignments import roles_of
from rbac.models import Assignment
from rbac.role_specs import permission_record
from rbac.role_tree import Tree
from tenants.http.problems import Problem
from tenants.models import Membership, Organisation, SsoIdentity

_NAME: Final = re.compile(r"[A-Za-z0-9._@+:-]{1,256}")


def user_id(name: str) -> UUID:
    """The person that an address names: by id. Raises Problem 400 `invalid_username` for what can
    be no name, and 404 `not_found` for any other name."""
    if not _NAME.fullmatch(name):
        raise Problem(400, "invalid_username", "This can be nobody's name.")
    try:
        return UUID(name)
    except ValueError:
        raise not_found() from None


def not_found() -> Problem:
    return Problem(404, "not_found", "There is no such person in this organisation.")


def shower(
    organisation: Organisation, members: Sequence[Membership]
) -> Callable[[Membership], dict[str, Any]]:
    """Shows these members of the organisation; two queries, for these people only."""
    people = [member.user_id for member in members]
    roles = roles_of(people)
    identities = {
        each.user_id: each
        for each in SsoIdentity.objects.filter(organisation=organisation, user__in=people)
        .select_related("provider")
        .order_by("last_login_at")
    }
    return lambda member: _record(member, roles.get(member.user_id), identities.get(member.user_id))


def member(organisation: Organisation, person: UUID) -> Membership:
    """Raises Problem 404 `not_found`."""
    found = (
        Membership.objects.filter(organisation=organisation, user=person)
        .select_related("user")
        .first()
    )
    if found is None:
        raise not_found()
    return found


def permissions(person: UUID) -> list[dict[str, Any]]:
    """What stands in the roles that a person has, without what those inherit."""
    tree = Tree.load()
    return [permission_record(grant) for role in _held(person) for grant in tree.nodes[role].grants]


def effective(person: UUID) -> list[dict[str, Any]]:
    """The same with what is inherited, and where each comes from."""
    tree, held = Tree.load(), _held(person)
    return [
        {**permission_record(grant), "roleId": role, "inherited": role not in held}
        for role in sorted(tree.above(held))
        for grant in tree.nodes[role].grants
    ]


def _held(person: UUID) -> list[str]:
    held = Assignment.objects.filter(user=person).order_by("role_id")
    return list(held.values_list("role_id", flat=True))


def _record(
    member: Membership, roles: dict[str, Any] | None, identity: SsoIdentity | None
) -> dict[str, Any]:
    user = member.user
    roles = roles or {"roleIds": [], "updatedAt": member.added_at}
    by_sso = identity if user.email is None else None
    record: dict[str, Any] = {
        "username": str(user.pk),
        "roleIds": roles["roleIds"],
        "displayName": user.name or (by_sso.name if by_sso else ""),
        "email": user.email or (by_sso.email if by_sso else ""),
        "providerType": "oidc" if identity else "",
        "providerId": identity.provider.slug if identity and identity.provider else "",
        "lastLoginAt": _time(identity.last_login_at) if identity else "",
        "updatedAt": _time(roles["updatedAt"]),
    }
    return {name: value for name, value in record.items() if value != ""}


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
