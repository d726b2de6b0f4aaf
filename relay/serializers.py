"""Shapes of relay status, settings and onboarding (relay-protocol section 20)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.models import Runtime


class RelayStatusSerializer(serializers.Serializer[Any]):
    """Whether phones can reach the organisation now."""

    connected = serializers.BooleanField()
    instance_id = serializers.CharField(required=False)
    active_channels = serializers.IntegerField(help_text="Phones connected now.")
    last_error = serializers.CharField(required=False)
    reconnect_in = serializers.CharField(required=False, help_text="Such as `5m0s`.")
    runtime = serializers.ChoiceField(choices=[r.value for r in Runtime])
    acknowledged = serializers.BooleanField(
        help_text="The relay has confirmed the instance id at least once."
    )
    credential = serializers.CharField(allow_blank=True, help_text="`lease` or `licence`.")
    credential_expires_at = serializers.DateTimeField(allow_null=True)
    connected_at = serializers.DateTimeField(allow_null=True)


class RelaySettingsSerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()
    server_url = serializers.CharField(allow_blank=True)
    identity_public_key = serializers.CharField(allow_blank=True, help_text="Base64.")
    identity_fingerprint = serializers.CharField(
        allow_blank=True, help_text="SHA-256 of the key, `aa:bb:…`."
    )


class RelaySettingsWriteSerializer(serializers.Serializer[Any]):
    """The contract's body. The registration is kept by the platform: nothing can be changed."""

    enabled = serializers.BooleanField(required=False)
    server_url = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    instance_secret = serializers.CharField(required=False, allow_blank=True, allow_null=True)


class DiagnosticSerializer(serializers.Serializer[Any]):
    """One finding; what does not apply is left out."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])
    message = serializers.CharField()
    field = serializers.CharField(required=False)
    expected = serializers.CharField(required=False)
    received = serializers.CharField(required=False)


class QrRelaySerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()
    url = serializers.CharField()
    identity_fingerprint = serializers.CharField()
    identity_public_key = serializers.CharField()


class QrSerializer(serializers.Serializer[Any]):
    """What the QR code holds. `auth_token` is the phone's credential."""

    schema = serializers.CharField()
    instance_id = serializers.CharField()
    instance_url = serializers.CharField(required=False)
    relay = QrRelaySerializer()
    auth_token = serializers.CharField()
    deep_link = serializers.CharField()
    diagnostics = DiagnosticSerializer(many=True)


class DeepLinkSerializer(serializers.Serializer[Any]):
    url = serializers.CharField()
    diagnostics = DiagnosticSerializer(many=True)


class NotReadySerializer(serializers.Serializer[Any]):
    error = serializers.CharField()
    message = serializers.CharField()
    code = serializers.CharField()
    diagnostics = DiagnosticSerializer(many=True)


class CodeSerializer(serializers.Serializer[Any]):
    """What a phone read from a QR code or a link."""

    instance_id = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=200
    )
    relay_url = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=2000
    )
    auth_token = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=200
    )


class ValidationSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField(help_text="No finding is an error.")
    diagnostics = DiagnosticSerializer(many=True)
