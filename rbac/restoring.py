"""The break-glass verb: gives an organisation's owner full rights back, whatever its roles say."""

from __future__ import annotations

from django.db import transaction

from audit import trail
from audit.actors import Actor
from rbac import changes
from rbac.builtin import seed
from rbac.escalation import OWNERS_ROLE
from rbac.models import Assignment
from tenants import states, versions
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership, Organisation, State
from tenants.schemas import in_schema

LIVING = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION)


def restore_admin(*, organisation: Organisation, actor: Actor, reason: str) -> Membership:
    """Makes the built-in roles what they should be, and `admin` the owner's only role.

    Custom roles and everybody else's assignments stay. Works also while the organisation is
    suspended. Returns the owner's membership. Raises Problem 400 `missing_reason`, 409
    `org_not_ready` for an organisation that has no schema.
    """
    if not reason.strip():
        raise Problem(400, "missing_reason", "Say why.")
    with transaction.atomic():
        organisation = states.locked(organisation)
        if organisation.state not in LIVING:
            raise Problem(409, "org_not_ready", "The organisation has no roles to restore.")
        versions.move_on(organisation.pk)
        owner = Membership.objects.select_related("user").get(
            organisation=organisation, role=MemberRole.OWNER
        )
        with in_schema(organisation):
            before = changes.roles_held(owner.user_id)
            seed()
            Assignment.objects.filter(user=owner.user_id).exclude(role_id=OWNERS_ROLE).delete()
            Assignment.objects.get_or_create(user=owner.user_id, role_id=OWNERS_ROLE)
            old, new = {"roleIds": before}, {"roleIds": [OWNERS_ROLE]}
            changes.log(
                "user_roles_updated",
                "assignment",
                str(owner.user_id),
                old=old,
                new=new,
                actor=actor,
            )
        trail.record(
            action="rbac_admin_restored",
            actor=actor,
            organisation=organisation.pk,
            subject=f"user {owner.user_id}",
            reason=reason,
            before=old,
            after=new,
        )
    return owner
