"""Who has which roles (hosted-contract sections 10.5 and 10.6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from audit import trail
from audit.actors import Actor
from rbac import changes, escalation, holding
from rbac.attempts import ASSIGN, DEPROVISION, attempt
from rbac.models import Assignment
from rbac.role_tree import Tree
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership, Organisation
from tenants.people import membership


def set_roles(
    organisation: Organisation,
    user_id: UUID,
    role_ids: Sequence[str],
    *,
    actor: Actor,
    reason: str = "",
    expecting: Callable[[list[str]], None] | None = None,
) -> list[str]:
    """Replaces the whole set of a member's roles; bites with their next request.

    `expecting` gets the sorted ids as they are, locked, and may refuse them (If-Match).
    Raises Problem 404 `not_found` for nobody of the organisation; 400 `unknown_role`,
    `owner_role_immutable`, `too_many_permissions`; 403 `self_modification_denied`,
    `escalation_denied`; and what `attempt` raises.
    """
    subject = f"user {user_id}"
    with attempt(
        organisation, actor=actor, names=ASSIGN, subject=subject, reason=reason
    ) as standing:
        member = _member(organisation, user_id)
        tree, held = Tree.load(), changes.roles_held(user_id)
        if expecting is not None:
            expecting(held)
        before, after = frozenset(held), frozenset(role_ids)
        if unknown := sorted(after - frozenset(tree.nodes)):
            raise Problem(400, "unknown_role", f"There is no role {', '.join(unknown)[:200]}.")
        escalation.may_assign(standing, tree, user_id, before, after)
        if member.role == MemberRole.OWNER:
            escalation.owner_keeps(tree, after)
        holding.may_hold(tree, after, instead_of=holding.count(tree, before))
        if before != after:
            Assignment.objects.filter(user=user_id, role_id__in=before - after).delete()
            Assignment.objects.bulk_create(
                Assignment(user=user_id, role_id=role_id) for role_id in sorted(after - before)
            )
            old, new = {"roleIds": sorted(before)}, {"roleIds": sorted(after)}
            changes.log(ASSIGN.done, "assignment", str(user_id), old=old, new=new, actor=actor)
            trail.record(
                action=ASSIGN.done,
                actor=actor,
                organisation=organisation.pk,
                subject=subject,
                reason=reason,
                before=old,
                after={**new, "person": str(member.user)},
            )
    return sorted(after)


def deprovision(
    organisation: Organisation, user_id: UUID, *, actor: Actor, reason: str = ""
) -> None:
    """Takes a person out of the organisation: membership, roles, sessions and tokens there.

    Raises Problem 404 `not_found`; 403 `self_deprovision_denied`, `escalation_denied`; 400
    `owner_role_immutable`; and what `attempt` raises.
    """
    subject = f"user {user_id}"
    with attempt(
        organisation, actor=actor, names=DEPROVISION, subject=subject, reason=reason
    ) as standing:
        if standing.user == user_id:
            raise Problem(
                403, "self_deprovision_denied", "Nobody removes themselves. Leave instead."
            )
        member = _member(organisation, user_id)
        before = frozenset(changes.roles_held(user_id))
        escalation.may_assign(standing, Tree.load(), user_id, before, frozenset())
        membership.remove(organisation=organisation, user=member.user, actor=actor, reason=reason)
        trail.record(
            action=DEPROVISION.done,
            actor=actor,
            organisation=organisation.pk,
            subject=subject,
            reason=reason,
            before={"roleIds": sorted(before), "person": str(member.user), "role": member.role},
        )


def roles_of(people: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Their role ids, and when these changed last, in the current schema; one query."""
    found: dict[UUID, dict[str, Any]] = {}
    for each in Assignment.objects.filter(user__in=people).order_by("role_id"):
        entry = found.setdefault(each.user, {"roleIds": [], "updatedAt": each.assigned_at})
        entry["roleIds"].append(each.role_id)
        entry["updatedAt"] = max(entry["updatedAt"], each.assigned_at)
    return found


def _member(organisation: Organisation, user_id: UUID) -> Membership:
    member = (
        Membership.objects.filter(organisation=organisation, user=user_id)
        .select_related("user")
        .first()
    )
    if member is None:
        raise Problem(404, "not_found", "There is no such person in this organisation.")
    return member
