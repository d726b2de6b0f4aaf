"""A token may do no more than its person (contract section 10.6)."""

from __future__ import annotations

from collections.abc import Sequence

from audit import trail
from audit.actors import Actor
from rbac import authorizer
from rbac import scopes as scope_table
from tenants.http.problems import Problem
from tenants.models import Organisation, User
from tenants.schemas import in_schema


def refuse(organisation: Organisation, user: User, scopes: Sequence[str], actor: Actor) -> None:
    """Raises Problem 403 `escalation_denied` for a scope beyond what `user` may do.

    Call it before any transaction of one's own, so that the trail keeps the refusal.
    """
    with in_schema(organisation):
        grants = authorizer.grants_of(user.pk)
    attributes = {"user": str(user.pk)}
    for each in scopes:
        scope = scope_table.BY_ID.get(each)
        if scope and authorizer.decide(grants, scope.action, scope.resource, attributes):
            continue
        trail.record(
            action="token_issue_denied",
            actor=actor,
            organisation=organisation.pk,
            subject=f"scope {each}",
            success=False,
            after={"scopes": list(scopes), "user": user.pk},
        )
        raise Problem(
            403, "escalation_denied", f"A token may do no more than you: not {each}.", scope=each
        )
