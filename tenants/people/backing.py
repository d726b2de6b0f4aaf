"""Who stands behind an invitation: the member who sent it, for as long as they may give its role.

Asked when it is sent and again when it is accepted, each time with the organisation locked: what
somebody lost meanwhile, nobody joins with. What a role gives, and what people may give, higher
rooms know; they answer `tenants.signals.role_offered`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from audit import trail
from audit.actors import Actor
from tenants import signals
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, Membership, Organisation


def require(*, organisation: Organisation, role: str, by: UUID | None) -> None:
    """Raises Problem 403 `forbidden`, `escalation_denied` unless the person may give the role now.

    Every invitation has a sender, so None is one whose account is gone: nobody stands behind it.
    Holds until the transaction ends when the caller has locked the organisation.
    """
    members = Membership.objects.filter(organisation=organisation, user__is_active=True)
    if by is None or not members.filter(user=by).exists():
        raise Problem(403, "forbidden", "You do not belong to this organisation any more.")
    signals.role_offered.send(sender=Membership, organisation=organisation, role=role, by=by)


@contextmanager
def audited(action: str, invitation: MemberInvitation, actor: Actor) -> Iterator[None]:
    """Audits what is refused for want of rights. Use it around the transaction: its row stays."""
    unsaved = invitation._state.adding
    subject = f"invitation of {invitation.email}" if unsaved else f"invitation {invitation.pk}"
    try:
        yield
    except Problem as problem:
        if problem.status == 403:
            trail.record(
                action=action,
                actor=actor,
                organisation=invitation.organisation_id,
                subject=subject,
                success=False,
                reason=problem.code,
                after={"email": invitation.email, "role": invitation.role},
            )
        raise
