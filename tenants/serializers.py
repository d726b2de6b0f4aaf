"""Shapes of organisations, members and invitations in the API's documentation; `people_json` makes
them."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from tenants.models import MemberRole
from tenants.people.membership import ROLES

_MEMBER: Final = MemberRole.choices
_GIVEN: Final = [role.value for role in ROLES]


class MemberSerializer(serializers.Serializer[Any]):
    """Somebody who belongs to the organisation."""

    userId = serializers.UUIDField()
    email = serializers.EmailField(
        required=False, help_text="Left out for who only comes by single sign-on."
    )
    name = serializers.CharField(required=False)
    role = serializers.ChoiceField(choices=_MEMBER)
    addedAt = serializers.DateTimeField()


class InvitationSerializer(serializers.Serializer[Any]):
    """A mailbox that was asked in and has not answered."""

    id = serializers.UUIDField()
    userId = serializers.EmailField(help_text="What was invited: the address again.")
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=_GIVEN)
    invitedAt = serializers.DateTimeField()
    sentAt = serializers.DateTimeField(help_text="When the last mail was sent.")
    expiresAt = serializers.DateTimeField()
    invitedBy = serializers.UUIDField(required=False)


class OwnInvitationSerializer(InvitationSerializer):
    """The same for whom it was sent to."""

    orgId = serializers.UUIDField()
    orgDisplayName = serializers.CharField()


class OrganisationSerializer(serializers.Serializer[Any]):
    """An organisation; what has no value is left out."""

    id = serializers.UUIDField()
    displayName = serializers.CharField()
    status = serializers.ChoiceField(choices=["active", "suspended", "pending_deletion"])
    createdAt = serializers.DateTimeField()
    ownerUserId = serializers.UUIDField(required=False)
    ownerEmail = serializers.EmailField(required=False)
    members = MemberSerializer(many=True, required=False)
    pendingInvitations = InvitationSerializer(many=True, required=False)
    sharedResources = serializers.ListField(child=serializers.DictField())
    suspendedAt = serializers.DateTimeField(required=False)
    suspendReason = serializers.CharField(required=False)
    deletionRequestedAt = serializers.DateTimeField(required=False)
    retentionDays = serializers.IntegerField(required=False)


class OwnOrganisationSerializer(serializers.Serializer[Any]):
    """An organisation of the caller's, as the base domain tells it."""

    id = serializers.UUIDField()
    displayName = serializers.CharField()
    status = serializers.CharField(help_text="active, suspended, pending_deletion or on its way.")
    createdAt = serializers.DateTimeField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    host = serializers.CharField()
    role = serializers.ChoiceField(choices=_MEMBER)


class RenameOrganisation(serializers.Serializer[Any]):
    displayName = serializers.CharField(help_text="3 to 64 bytes, no slashes.")


class SetMember(serializers.Serializer[Any]):
    """Whom and as what: `userId` (a member's id or any address) or `email`."""

    userId = serializers.CharField(required=False)
    email = serializers.EmailField(required=False)
    role = serializers.ChoiceField(choices=_MEMBER, required=False, default="viewer")


class MemberAnswer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["member"])
    member = MemberSerializer()


class InvitationAnswer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["invitation"])
    invitation = InvitationSerializer()


EXAMPLE_MEMBER: Final = {
    "userId": "0f8e4c9a-6a1b-4d0e-9a53-3c1f6f5f2b11",
    "email": "ann@example.com",
    "role": "owner",
    "addedAt": "2026-05-04T09:30:00Z",
}
EXAMPLE_INVITATION: Final = {
    "id": "5b7f0c52-93c5-4c39-8d7c-0f6a1f0f7d42",
    "userId": "bob@example.com",
    "email": "bob@example.com",
    "role": "editor",
    "invitedAt": "2026-05-05T08:00:00Z",
    "sentAt": "2026-05-05T08:00:00Z",
    "expiresAt": "2026-05-12T08:00:00Z",
    "invitedBy": EXAMPLE_MEMBER["userId"],
}
EXAMPLE_ORGANISATION: Final = {
    "id": "c1a3c1de-2f6d-4a37-8a53-62d5b6bd2d0f",
    "displayName": "Acme",
    "status": "active",
    "createdAt": "2026-05-04T09:30:00Z",
    "ownerUserId": EXAMPLE_MEMBER["userId"],
    "ownerEmail": "ann@example.com",
    "members": [EXAMPLE_MEMBER],
    "pendingInvitations": [EXAMPLE_INVITATION],
    "sharedResources": [],
}
EXAMPLE_OWN_ORGANISATION: Final = {
    "id": EXAMPLE_ORGANISATION["id"],
    "displayName": "Acme",
    "status": "active",
    "createdAt": "2026-05-04T09:30:00Z",
    "label": "acme",
    "host": "acme.pulse.example.com",
    "role": "owner",
}
EXAMPLE_OWN_INVITATION: Final = {
    **EXAMPLE_INVITATION,
    "orgId": EXAMPLE_ORGANISATION["id"],
    "orgDisplayName": "Acme",
}
