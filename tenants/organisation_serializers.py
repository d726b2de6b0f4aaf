"""Shapes of organisations in the API's documentation."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.models import MemberRole, Runtime, State
from tenants.models.organisations import RETENTION_DAYS, RETENTION_LEAST, RETENTION_MOST

_ROLES = [role.value for role in MemberRole]


class OrganisationSummarySerializer(serializers.Serializer[Any]):
    """What every member and every paired phone may know of its organisation."""

    id = serializers.UUIDField()
    displayName = serializers.CharField()
    label = serializers.CharField(  # type: ignore[assignment]  # a field's name, not its caption
        help_text="The first part of its address; never changes."
    )
    host = serializers.CharField()
    status = serializers.ChoiceField(choices=[State.ACTIVE.value])
    runtime = serializers.ChoiceField(choices=[runtime.value for runtime in Runtime])
    role = serializers.ChoiceField(choices=_ROLES, help_text="The caller's membership.")
    createdAt = serializers.DateTimeField()


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=10_000
    )


class SoftDeleteSerializer(ReasonSerializer):
    retention_days = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=RETENTION_LEAST,
        max_value=RETENTION_MOST,
        help_text=f"How long it is kept and can be restored; {RETENTION_DAYS} if left out.",
    )


class HostedOrganisationSerializer(serializers.Serializer[Any]):
    """One line of the platform's list; snake case, as the contract has it."""

    org_id = serializers.UUIDField()
    display_name = serializers.CharField()
    owner_user_id = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    suspended = serializers.BooleanField()
    soft_deleted = serializers.BooleanField()


class SignupSerializer(serializers.Serializer[Any]):
    email = serializers.CharField(help_text="Its mailbox is proved by a link.")
    org_name = serializers.CharField(help_text="3 to 64 bytes; no control characters, no slashes.")
    host_label = serializers.CharField(
        required=False, allow_blank=True, help_text="The address; made from the name if left out."
    )
    invitation = serializers.CharField(required=False, allow_blank=True)


class MessageSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()


class MailboxSerializer(serializers.Serializer[Any]):
    email = serializers.CharField()


class AcceptedSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class MagicLinkSerializer(serializers.Serializer[Any]):
    confirm = serializers.CharField(help_text="How to use it.")
    email = serializers.EmailField()


class SignedInSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    org_id = serializers.UUIDField(required=False, allow_null=True)
    user_id = serializers.UUIDField()
    email = serializers.EmailField()
