"""Whose an organisation is: always exactly one member's (hosted-contract section 9.2)."""

from __future__ import annotations

from django.db import transaction

from audit.actors import Actor
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership, Organisation, User
from tenants.people import membership


def transfer_ownership(
    *, organisation: Organisation, to: User, actor: Actor, reason: str = ""
) -> Membership:
    """Makes another member the owner; who was it becomes an admin. Returns the new owner's.

    The new owner must be able to sign in on the base domain, where an organisation is restored
    and where there is a way in when its single sign-on fails.
    Raises Problem 403 `owner_required` for a person who is not the owner (now), 400
    `owner_transfer_requires_member` and `owner_requires_mailbox`, 409 `org_not_active`.
    """
    try:
        with transaction.atomic():
            organisation = membership.active(organisation)
            people = organisation.memberships.select_for_update(of=("self",))
            people = people.select_related("user")
            old = people.get(role=MemberRole.OWNER)
            if actor.kind == "person" and actor.id != str(old.user.pk):
                raise owner_required()
            new = people.filter(user=to).first()
            if new is None:
                raise requires_member()
            if new == old:
                return old
            if not (new.user.is_active and new.user.email and new.user.email_verified_at):
                raise Problem(
                    400,
                    "owner_requires_mailbox",
                    "The owner needs an account with a confirmed email address.",
                )
            before = new.role
            # In this order: of two owners at once the index lets none through.
            membership.set_role(old, MemberRole.ADMIN, actor)
            membership.set_role(new, MemberRole.OWNER, actor)
            organisation.owner_email = new.user.email
            organisation.save(update_fields=["owner_email", "changed_at"])
            membership.record(
                "ownership_transferred",
                new,
                actor,
                reason,
                before={"owner": str(old.user.pk), "role": before},
                after={"owner": str(new.user.pk), "former_owner_role": MemberRole.ADMIN.value},
            )
    except Problem as problem:
        membership.note_refusal(problem, organisation, to, actor, "ownership_transferred")
        raise
    return new


def owner_required() -> Problem:
    return Problem(403, "owner_required", "Only the owner can transfer ownership.")


def requires_member() -> Problem:
    return Problem(
        400, "owner_transfer_requires_member", "Only somebody who is a member can become the owner."
    )
