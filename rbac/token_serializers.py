"""Shapes of tokens and devices in the API's documentation; `tokens.public_record` makes them."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from rbac import scopes, tokens


class TokenMetadataSerializer(serializers.Serializer[Any]):
    purpose = serializers.CharField(
        required=False, help_text="`relay_mobile_access` for a paired phone."
    )


class TokenRecordSerializer(serializers.Serializer[Any]):
    """What is known of a token; never its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField(max_length=120)
    prefix = serializers.CharField(help_text="The first 8 digits of the secret.")
    scopes = serializers.ListField(child=serializers.CharField())
    metadata = TokenMetadataSerializer()
    userId = serializers.UUIDField(help_text="The person it acts for.")
    createdAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField(allow_null=True)
    unusedExpiresAt = serializers.DateTimeField(
        allow_null=True, help_text="A phone's code that nobody scans dies then."
    )
    lastUsedAt = serializers.DateTimeField(allow_null=True, help_text="Exact to a minute.")
    revokedAt = serializers.DateTimeField(allow_null=True)


class NewTokenSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[scope.id for scope in scopes.CHOOSABLE]),
        allow_empty=False,
    )
    expiresInDays = serializers.IntegerField(
        min_value=1,
        max_value=tokens.LONGEST.days,
        required=False,
        allow_null=True,
        help_text="Without it the token lives until it is revoked.",
    )


class NewPhoneSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False, allow_null=True)


class RenameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)


class MadeTokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="The secret: 64 hex digits, shown this once.")
    record = TokenRecordSerializer()


_RECORD: Final[dict[str, Any]] = {
    "id": "3f0c7f0e-8f1b-4a62-9f0a-0d1c2b3a4f5e",
    "name": "Anna's phone",
    "prefix": "0a1b2c3d",
    "scopes": ["relay:mobile:access"],
    "metadata": {"purpose": "relay_mobile_access"},
    "userId": "0c9d1e3a-4f67-4b0e-9a4f-5b2f0c9d1e3a",
    "createdAt": "2026-01-01T00:00:00Z",
    "expiresAt": None,
    "unusedExpiresAt": None,
    "lastUsedAt": "2026-01-02T08:30:00Z",
    "revokedAt": None,
}
RECORD: Final = OpenApiExample("As it is now", value=_RECORD, response_only=True)
MADE: Final = OpenApiExample(
    "Shown this once", value={"token": "0a1b2c3d" * 8, "record": _RECORD}, response_only=True
)
