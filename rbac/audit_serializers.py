"""Shapes of the audit API in its documentation; `audit_shown.record` makes the events."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class AuditEventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    timestamp = serializers.DateTimeField()
    event = serializers.CharField(help_text="Such as `token_issued`.")
    user = serializers.CharField(
        help_text="An e-mail address, `API token <name>`, `Platform staff`, `PulseCloud` (the "
        "software itself) or `Not signed in`."
    )
    ip = serializers.CharField(help_text="Empty for platform staff and the software.")
    path = serializers.CharField(help_text="Of the request; empty where `ip` is.")
    success = serializers.BooleanField(help_text="False for what was tried and refused.")
    details = serializers.CharField(help_text="Subject and reason as one text.")
    actor = serializers.ChoiceField(choices=["person", "token", "staff", "system", "anonymous"])
    subject = serializers.CharField()
    reason = serializers.CharField()
    before = serializers.JSONField(allow_null=True, help_text="Secrets are replaced.")
    after = serializers.JSONField(allow_null=True, help_text="Secrets are replaced.")
    requestId = serializers.CharField()
    seal = serializers.IntegerField(
        allow_null=True, help_text="The number of its seal; null for the first minute."
    )
    signature = serializers.CharField(
        required=False, help_text="`ed25519:<key id>:<hex>` of its seal, once it is sealed."
    )


class AuditPageSerializer(serializers.Serializer[Any]):
    events = AuditEventSerializer(many=True)
    total = serializers.IntegerField()
    persistentLogging = serializers.BooleanField()


class AuditVerifySerializer(serializers.Serializer[Any]):
    available = serializers.BooleanField(help_text="False until the event is sealed.")
    verified = serializers.BooleanField()
    message = serializers.CharField()
    seal = serializers.IntegerField(allow_null=True)


class AuditCountSerializer(serializers.Serializer[Any]):
    event = serializers.CharField()
    count = serializers.IntegerField()


class AuditUserCountSerializer(serializers.Serializer[Any]):
    user = serializers.CharField()
    count = serializers.IntegerField()


class AuditSummarySerializer(serializers.Serializer[Any]):
    startTime = serializers.DateTimeField()
    endTime = serializers.DateTimeField()
    total = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    unsealed = serializers.IntegerField(help_text="Not sealed yet.")
    firstAt = serializers.DateTimeField(allow_null=True)
    lastAt = serializers.DateTimeField(allow_null=True)
    byEvent = AuditCountSerializer(many=True)
    byUser = AuditUserCountSerializer(many=True)


class AuditExportSerializer(serializers.Serializer[Any]):
    events = AuditEventSerializer(many=True)
    complete = serializers.BooleanField(help_text="False when there are more events than these.")
