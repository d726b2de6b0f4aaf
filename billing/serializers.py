"""Shapes of billing and leases in the API's documentation."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.models import Subscription


class BillingSerializer(serializers.Serializer[Any]):
    """What an organisation has (names as in hosted-contract section 12.1)."""

    subscription_state = serializers.ChoiceField(choices=[s.value for s in Subscription])
    live = serializers.BooleanField(help_text="Whether the subscription opens the doors now.")
    plan_version = serializers.CharField(allow_blank=True)
    plan_name = serializers.CharField(help_text="What people call the plan.")
    capabilities = serializers.ListField(child=serializers.CharField())
    limits = serializers.DictField(
        child=serializers.IntegerField(), help_text="What is not named is unlimited."
    )
    trial_started_at = serializers.IntegerField(allow_null=True, help_text="Unix seconds.")
    trial_ends_at = serializers.IntegerField(allow_null=True, help_text="Unix seconds.")
    requests_per_minute = serializers.IntegerField(
        help_text="Of the whole organisation; more are answered 429."
    )


class RefreshSerializer(serializers.Serializer[Any]):
    instance_host = serializers.CharField(help_text="The host that the lease names.")
    entitlement_refresh_token = serializers.CharField()
    org_id = serializers.CharField(required=False, help_text="Empty or `default`.")


class LeaseSerializer(serializers.Serializer[Any]):
    entitlement_jwt = serializers.CharField()
