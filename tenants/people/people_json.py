"""How members, invitations and organisations are told to programs (hosted-contract section 5.1).

Fields without a value are left out; times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tenants.models import MemberInvitation, Membership, State


def member(membership: Membership) -> dict[str, Any]:
    """{userId, email?, name?, role, addedAt}. Who came by single sign-on has no address here."""
    user = membership.user
    return _known(
        {
            "userId": str(user.pk),
            "email": user.email,
            "name": user.name or None,
            "role": str(membership.role),
            "addedAt": time(membership.added_at),
        }
    )


def invitation(each: MemberInvitation) -> dict[str, Any]:
    """{id, userId, email, role, invitedAt, sentAt, expiresAt, invitedBy?}.

    `userId` is what the contract invites by: here always the address.
    """
    return _known(
        {
            "id": str(each.pk),
            "userId": each.email,
            "email": each.email,
            "role": str(each.role),
            "invitedAt": time(each.created_at),
            "sentAt": time(each.sent_at),
            "expiresAt": time(each.expires_at),
            "invitedBy": str(each.invited_by_id) if each.invited_by_id else None,
        }
    )


def own_invitation(each: MemberInvitation) -> dict[str, Any]:
    """The same for whom it was sent to, with whose organisation it is."""
    return {
        **invitation(each),
        "orgId": str(each.organisation_id),
        "orgDisplayName": each.organisation.display_name,
    }


def own_organisation(membership: Membership) -> dict[str, Any]:
    """{id, displayName, status, createdAt, label, host, role}: what the base domain tells a member.

    Who else belongs to it is told on the organisation's own host.
    """
    organisation = membership.organisation
    return {
        "id": str(organisation.pk),
        "displayName": organisation.display_name,
        "status": status(organisation.state),
        "createdAt": time(organisation.created_at),
        "label": organisation.label,
        "host": organisation.instance_host,
        "role": str(membership.role),
    }


def status(state: str) -> str:
    """An organisation's state in the contract's words."""
    deleting = state in (State.PENDING_DELETION, State.PURGING, State.DELETED)
    return str(State.PENDING_DELETION if deleting else State(state).value)


def time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z" if moment else None


def _known(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}
