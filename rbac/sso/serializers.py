"""Shapes of single sign-on in the API (hosted-contract section 11.1): camel case, by their names."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rbac.sso import flow
from tenants.models import SsoProvider
from tenants.people.membership import ROLES
from tenants.people.people_json import time

# The contract's names of what can be set, and ours.
FIELDS = {
    "name": "name",
    "issuerUrl": "issuer",
    "clientId": "client_id",
    "clientSecret": "secret",
    "scopes": "scopes",
    "groupsClaim": "groups_claim",
    "emailClaim": "email_claim",
    "usernameClaim": "name_claim",
    "allowedGroups": "allowed_groups",
    "allowedDomains": "allowed_domains",
    "allowedEmails": "allowed_emails",
    "defaultRole": "default_role",
    "sessionHours": "session_hours",
}


def provider(row: SsoProvider, mapping: dict[str, str]) -> dict[str, Any]:
    return {
        "id": row.slug,
        "name": row.name,
        "displayName": row.name,
        "type": "oidc",
        "enabled": row.enabled,
        "issuerUrl": row.issuer,
        "clientId": row.client_id,
        "clientSecretSet": row.client_secret_sealed is not None,
        "redirectUrl": flow.callback_address(row.organisation, row.slug),
        "scopes": row.scopes.split(),
        "groupsClaim": row.groups_claim,
        "emailClaim": row.email_claim,
        "usernameClaim": row.name_claim,
        "allowedGroups": row.allowed_groups,
        "allowedDomains": row.allowed_domains,
        "allowedEmails": row.allowed_emails,
        "groupRoleMappings": mapping,
        "defaultRole": row.default_role,
        "sessionHours": row.session_hours,
        "createdAt": time(row.created_at),
        "updatedAt": time(row.updated_at),
    }


def _texts() -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=255), required=False)


class ProviderSettings(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=128)
    type = serializers.ChoiceField(choices=["oidc"], required=False)
    enabled = serializers.BooleanField(
        required=False, help_text="Switching it on asks the provider first: 400 `discovery_failed`."
    )
    issuerUrl = serializers.URLField(max_length=2048)
    clientId = serializers.CharField(max_length=255)
    clientSecret = serializers.CharField(
        required=False, write_only=True, allow_blank=True, help_text="Blank keeps the stored one."
    )
    scopes = _texts()
    groupsClaim = serializers.CharField(required=False, allow_blank=True, max_length=128)
    emailClaim = serializers.CharField(required=False, max_length=128)
    usernameClaim = serializers.CharField(required=False, max_length=128)
    allowedGroups = _texts()
    allowedDomains = _texts()
    allowedEmails = _texts()
    defaultRole = serializers.ChoiceField(choices=[r.value for r in ROLES], required=False)
    sessionHours = serializers.IntegerField(min_value=1, max_value=24, required=False)


class NewProvider(ProviderSettings):
    id = serializers.CharField(max_length=64)


class Provider(NewProvider):
    """What can be read: never the client secret."""

    clientSecret = None  # type: ignore[assignment]
    displayName = serializers.CharField()
    clientSecretSet = serializers.BooleanField()
    redirectUrl = serializers.URLField(help_text="The callback address to register there.")
    groupRoleMappings = serializers.DictField(child=serializers.CharField())
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class Mappings(serializers.Serializer[Any]):
    groupRoleMappings = serializers.DictField(
        child=serializers.CharField(),
        help_text="Group, compared trimmed and ignoring case: id of the role that it gives.",
    )


class Discovered(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    issuer = serializers.URLField()
    authorizationEndpoint = serializers.URLField()
    tokenEndpoint = serializers.URLField()
    jwksUri = serializers.URLField()
    userinfoEndpoint = serializers.CharField(allow_blank=True)
    scopesSupported = serializers.ListField(child=serializers.CharField())
    claimsSupported = serializers.ListField(child=serializers.CharField())


EXAMPLE_SETTINGS = {
    "name": "Example Login",
    "enabled": True,
    "issuerUrl": "https://login.example.com",
    "clientId": "pulsecloud",
    "clientSecret": "kept sealed",
    "scopes": ["openid", "profile", "email", "groups"],
    "allowedDomains": ["example.com"],
    "defaultRole": "viewer",
}
EXAMPLE_MAPPINGS = {"groupRoleMappings": {"operations": "operator", "platform team": "admin"}}
EXAMPLE_PROVIDER = {
    **{k: v for k, v in EXAMPLE_SETTINGS.items() if k != "clientSecret"},
    **EXAMPLE_MAPPINGS,
    "id": "example",
    "displayName": "Example Login",
    "type": "oidc",
    "clientSecretSet": True,
    "redirectUrl": "https://acme.cloud.example.com/sso/example/callback",
    "groupsClaim": "groups",
    "emailClaim": "email",
    "usernameClaim": "name",
    "allowedGroups": [],
    "allowedEmails": [],
    "sessionHours": 8,
    "createdAt": "2026-03-02T09:00:00Z",
    "updatedAt": "2026-03-02T09:04:00Z",
}
