"""Whoever changes single sign-on hands out no more than they have (hosted-contract section 10.6):
neither by a mapping nor by what newcomers become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from audit import trail
from audit.actors import Actor
from rbac import changes, escalation
from rbac.authorizer import grants_of
from rbac.role_tree import Tree
from tenants.http.problems import Problem
from tenants.models import Organisation
from tenants.schemas import in_schema


def refuse_beyond(organisation: Organisation, actor: Actor, roles: Iterable[str]) -> None:
    """Raises Problem 403 `escalation_denied` unless the person has all that these roles name."""
    wanted = sorted(set(roles))
    if not wanted or actor.kind != "person":
        return
    user = UUID(actor.id)
    with in_schema(organisation):
        standing = escalation.Standing(
            user=user, roles=frozenset(changes.roles_held(user)), grants=tuple(grants_of(user))
        )
        tree = Tree.load()
    escalation.require(standing, tree.grants([role for role in wanted if role in tree]))


@contextmanager
def refusals_noted(action: str, organisation: Organisation, actor: Actor) -> Iterator[None]:
    """Audits what somebody may not do. Stands around the transaction, so that the note stays."""
    try:
        yield
    except Problem as problem:
        if problem.status == 403:
            trail.record(
                action=action,
                actor=actor,
                organisation=organisation.pk,
                subject="single sign-on",
                success=False,
                reason=problem.code,
            )
        raise
