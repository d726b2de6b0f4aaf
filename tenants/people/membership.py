"""Who belongs to an organisation, and as what (hosted-contract sections 9.1 and 9.2).

Each verb locks the organisation's row, so that whatever races there is always exactly one owner;
what caches know is dropped, higher rooms are told (`tenants.signals`) and the audit row is written
in the same transaction. Only an active organisation's people change. What is refused raises
`Problem` with the contract's code; attempts to change one's own place are audited as failures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import signals, versions
from tenants.accounts import sessions
from tenants.http.problems import Problem
from tenants.models import (
    Link,
    LinkPurpose,
    MemberInvitation,
    MemberRole,
    Membership,
    Organisation,
    State,
    User,
)

# What can be given; ownership is transferred (`tenants.people.ownership`).
ROLES: Final = (MemberRole.ADMIN, MemberRole.EDITOR, MemberRole.VIEWER)


def add(
    *, organisation: Organisation, user: User, role: str, actor: Actor, reason: str = ""
) -> Membership:
    """Makes a person a member. Who is one already stays what they are.

    Raises Problem 400 `invalid_role`, 409 `org_not_active`.
    """
    role = given_role(role)
    with transaction.atomic():
        organisation = active(organisation)
        membership, added = Membership.objects.get_or_create(
            organisation=organisation, user=user, defaults={"role": role}
        )
        if added:
            versions.move_on(organisation.pk)
            signals.member_added.send(
                sender=Membership,
                organisation=organisation,
                user_id=user.pk,
                actor=actor,
                role=role,
            )
            record("member_added", membership, actor, reason, after={"role": role})
    return membership


def change_role(
    *, organisation: Organisation, user: User, role: str, actor: Actor, reason: str = ""
) -> Membership:
    """Makes a member something else, from the next request on.

    Raises Problem 400 `invalid_role` and `owner_role_immutable`, 403 `self_modification_denied`,
    404 `member_not_found`, 409 `org_not_active`.
    """
    role = given_role(role)
    with _changing(organisation, user, actor, "member_role_changed") as membership:
        _refuse_owner(membership)
        _refuse_self(user, actor, "Nobody changes their own role. Ask another admin.")
        before = membership.role
        if before != role:
            set_role(membership, role, actor)
            record(
                "member_role_changed",
                membership,
                actor,
                reason,
                before={"role": before},
                after={"role": role},
            )
    return membership


def remove(*, organisation: Organisation, user: User, actor: Actor, reason: str = "") -> None:
    """Ends a membership, with its roles, tokens and sessions there.

    Invitations that the person sent end too, and such as would let them back in.
    Raises Problem 400 `owner_role_immutable`, 403 `self_modification_denied`, 404
    `member_not_found`, 409 `org_not_active`.
    """
    with _changing(organisation, user, actor, "member_removed") as membership:
        _refuse_owner(membership)
        _refuse_self(user, actor, "Nobody removes themselves. Leave the organisation instead.")
        theirs = Q(invited_by=user)
        if user.email:
            theirs |= Q(email__iexact=user.email)
        revoked = MemberInvitation.objects.filter(
            theirs,
            organisation=membership.organisation,
            accepted_at=None,
            declined_at=None,
            revoked_at=None,
        ).update(revoked_at=timezone.now())
        _end(membership, actor)
        record(
            "member_removed",
            membership,
            actor,
            reason,
            before={"role": membership.role},
            after={"invitations_revoked": revoked},
        )


def leave(*, organisation: Organisation, user: User, actor: Actor, reason: str = "") -> None:
    """A person gives up their own membership; the owner has to transfer ownership first.

    Raises Problem 404 `member_not_found`, 409 `owner_cannot_leave` and `org_not_active`.
    """
    with _changing(organisation, user, actor, "member_left") as membership:
        if membership.role == MemberRole.OWNER:
            raise Problem(
                409,
                "owner_cannot_leave",
                "The owner cannot leave. Transfer ownership to another member first.",
            )
        _end(membership, actor)
        record("member_left", membership, actor, reason, before={"role": membership.role})


def active(organisation: Organisation) -> Organisation:
    """The organisation as it is now, locked until the transaction ends.

    Raises Problem 409 `org_not_active` when it is suspended, being set up, or going.
    """
    # Not FOR UPDATE: rows that refer to it may be written meanwhile, sessions and links for one.
    found = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    if found.state != State.ACTIVE:
        raise Problem(
            409,
            "org_not_active",
            f"The organisation is {found.get_state_display()}: its people cannot be changed now.",
        )
    return found


def given_role(role: str) -> str:
    """A role that can be given. Raises Problem 400 `invalid_role`."""
    if role not in ROLES:
        raise Problem(400, "invalid_role", f"role must be one of {', '.join(ROLES)}.")
    return str(role)


@contextmanager
def _changing(
    organisation: Organisation, user: User, actor: Actor, action: str
) -> Iterator[Membership]:
    """The membership, locked with its organisation. Raises Problem 404 `member_not_found`."""
    try:
        with transaction.atomic():
            organisation = active(organisation)
            found = Membership.objects.select_for_update(of=("self",)).filter(
                organisation=organisation, user=user
            )
            membership = found.select_related("user").first()
            if membership is None:
                raise Problem(404, "member_not_found", "There is no such member.")
            membership.organisation = organisation
            yield membership
    except Problem as problem:
        note_refusal(problem, organisation, user, actor, action)
        raise


def set_role(membership: Membership, role: str, actor: Actor) -> None:
    before, membership.role = membership.role, str(role)
    membership.save(update_fields=["role"])
    versions.move_on(membership.organisation_id)
    signals.member_changed.send(
        sender=Membership,
        organisation=membership.organisation,
        user_id=membership.user_id,
        actor=actor,
        before=str(before),
        after=str(role),
    )


def _end(membership: Membership, actor: Actor) -> None:
    organisation, user = membership.organisation, membership.user
    membership.delete()
    versions.move_on(organisation.pk)
    signals.member_removed.send(
        sender=Membership,
        organisation=organisation,
        user_id=user.pk,
        actor=actor,
        role=str(membership.role),
    )
    Link.objects.filter(organisation=organisation, user=user, purpose=LinkPurpose.HAND_OFF).delete()
    sessions.end_on_host(user.pk, organisation.instance_host)


def _refuse_owner(membership: Membership) -> None:
    if membership.role == MemberRole.OWNER:
        raise Problem(
            400,
            "owner_role_immutable",
            "The owner stays the owner until they transfer ownership.",
        )


def _refuse_self(user: User, actor: Actor, message: str) -> None:
    if actor.kind == "person" and actor.id == str(user.pk):
        raise Problem(403, "self_modification_denied", message)


def note_refusal(
    problem: Problem, organisation: Organisation, user: User, actor: Actor, action: str
) -> None:
    """Audits what somebody may not do; after the roll-back, so that it stays."""
    if problem.status == 403:
        trail.record(
            action=action,
            actor=actor,
            organisation=organisation.pk,
            subject=f"user {user.pk}",
            success=False,
            reason=problem.code,
        )


def record(
    action: str,
    membership: Membership,
    actor: Actor,
    reason: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=membership.organisation_id,
        subject=f"user {membership.user_id}",
        reason=reason,
        before=before,
        after={"person": str(membership.user), **(after or {})},
    )
