"""The frame of every verb that changes roles: one at a time, by who may, audited also when refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import transaction

from audit import trail
from audit.actors import Actor
from rbac import changes, metrics
from rbac.authorizer import decide, grants_of
from rbac.escalation import Standing
from tenants import versions
from tenants.http.problems import Problem
from tenants.models import Organisation
from tenants.people import membership
from tenants.schemas import in_schema


@dataclass(frozen=True)
class Names:
    """What one kind of change is called in the trail (hosted-contract section 10.7) and counted as."""

    done: str
    failed: str
    self_denied: str
    counted: str


CREATE: Final = Names("role_created", "role_create_failed", "role_create_failed", "create")
UPDATE: Final = Names("role_updated", "role_update_failed", "role_update_failed", "update")
DELETE: Final = Names("role_deleted", "role_delete_failed", "role_delete_failed", "delete")
ASSIGN: Final = Names(
    "user_roles_updated", "user_roles_update_failed", "user_roles_self_modify_denied", "assign"
)
DEPROVISION: Final = Names(
    "user_deprovisioned", "user_deprovision_failed", "user_deprovision_self_denied", "deprovision"
)
_SELF: Final = ("self_modification_denied", "self_deprovision_denied")


@contextmanager
def attempt(
    organisation: Organisation, *, actor: Actor, names: Names, subject: str, reason: str = ""
) -> Iterator[Standing]:
    """Runs the block in the organisation's schema, in one transaction that holds its row's lock.

    Changes of one organisation's roles and people go one after the other, so what the block reads
    stays true until it commits, the standing of who asks included: whoever was demoted a moment ago
    is refused here, although the door let them in. What is refused is audited after the roll-back.

    Raises Problem 403 `forbidden`, `session_required`; 409 `org_not_active`; what the block raises.
    """
    try:
        with transaction.atomic():
            membership.active(organisation)
            versions.move_on(organisation.pk)
            with in_schema(organisation):
                yield standing_of(actor)
            transaction.on_commit(lambda: metrics.mutated(names.counted))
    except Problem as problem:
        trail.record(
            action=names.self_denied if problem.code in _SELF else names.failed,
            actor=actor,
            organisation=organisation.pk,
            subject=subject,
            success=False,
            reason=reason,
            after={"code": problem.code, "why": problem.detail or problem.title},
        )
        raise


def standing_of(actor: Actor) -> Standing:
    """What `actor` may give, in the current schema, as it is now; see rbac.escalation.

    Raises Problem 403 `session_required` for API tokens, 403 `forbidden` for a person who may not
    change people and roles.
    """
    if actor.kind == "token":
        raise Problem(403, "session_required", "This takes a signed-in person, not an API token.")
    if actor.kind != "person":
        return Standing(None)
    user = UUID(actor.id)
    grants = tuple(grants_of(user))
    if not decide(grants, "admin", "users", {"user": str(user)}):
        raise Problem(403, "forbidden", "You may not change people and roles here.")
    return Standing(user, frozenset(changes.roles_held(user)), grants)
