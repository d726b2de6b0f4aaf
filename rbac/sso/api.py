"""Single sign-on settings in the API (hosted-contract section 11.1). Changes take a fresh session."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit import trail
from audit.actors import Actor
from rbac.models import GroupMapping
from rbac.sso import mapping, providers, serializers, values
from tenants.accounts import recent
from tenants.door import TenantAPIView, requires
from tenants.http import etags, listing
from tenants.http.openapi import ETAG, IF_MATCH, SESSION_ONLY, listed
from tenants.http.problems import Problem
from tenants.models import SsoProvider

_ORDERING = {"id": "slug", "name": "name", "createdAt": "created_at"}
_BODY_LIMIT = 1024 * 1024  # contract section 11.1
_KNOWN = frozenset({*serializers.FIELDS, "id", "type", "enabled", "displayName"})
# What a client that sends back what it has read may send along; it changes nothing.
_READ_ONLY = frozenset(
    {"clientSecretSet", "redirectUrl", "groupRoleMappings", "createdAt", "updatedAt"}
)
_MADE = OpenApiExample(
    "A provider",
    value=serializers.EXAMPLE_PROVIDER,
    response_only=True,
    status_codes=["200", "201"],
)


class _Providers(TenantAPIView):
    by_contract = True
    body_limit = _BODY_LIMIT

    @property
    def actor(self) -> Actor:
        return Actor.person(self.knock.known_user)

    def found(self, slug: str) -> SsoProvider:
        """Raises Problem 404 `not_found`."""
        provider = providers.find(self.knock.known_organisation, slug)
        if provider is None:
            raise Problem(404, "not_found", "There is no such provider.")
        provider.organisation = self.knock.known_organisation
        return provider

    def shown(self, provider: SsoProvider) -> dict[str, Any]:
        provider.organisation = self.knock.known_organisation
        return serializers.provider(provider, mapping.of(provider))

    def given(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The body, and of it what `values.parse` reads, by our names."""
        body = self.body(known=_KNOWN | _READ_ONLY)
        if body.get("type", "oidc") != "oidc":
            raise values.Invalid("type", "Only OpenID Connect is supported: type must be oidc.")
        if not isinstance(body.get("enabled", False), bool):
            raise values.Invalid("enabled", "enabled must be true or false.")
        if "name" not in body and "displayName" in body:
            body["name"] = body["displayName"]
        return body, {ours: body[name] for name, ours in serializers.FIELDS.items() if name in body}


class ProvidersView(_Providers):
    @extend_schema(
        operation_id="listSsoProviders",
        summary="Identity providers",
        parameters=listed(ordering=_ORDERING, enabled="`true` or `false`."),
        responses=serializers.Provider(many=True),
        examples=[_MADE],
    )
    @requires("read", "users", capability="sso")
    def get(self, request: Request) -> Response:
        rows = SsoProvider.objects.filter(organisation=self.knock.known_organisation)
        if request.GET.get("enabled") in ("true", "false"):
            rows = rows.filter(enabled=request.GET["enabled"] == "true")
        mapped: dict[Any, dict[str, str]] = {}
        for row in GroupMapping.objects.order_by("group"):
            mapped.setdefault(row.provider, {})[row.group] = row.role_id

        def show(provider: SsoProvider) -> dict[str, Any]:
            provider.organisation = self.knock.known_organisation
            return serializers.provider(provider, mapped.get(provider.pk, {}))

        return listing.page(request, rows, show, ordering=_ORDERING, default="name")

    @extend_schema(
        operation_id="createSsoProvider",
        summary="Add an identity provider",
        description="400 `missing_id`, `invalid_id`, `validation_error`; 403 `escalation_denied`; "
        "409 `duplicate_id`, `too_many_providers`. With `enabled` the provider is asked first; when "
        "it does not answer, it is kept switched off: 400 `discovery_failed`.",
        request=serializers.NewProvider,
        responses={201: serializers.Provider, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample(
                "New", value={"id": "example", **serializers.EXAMPLE_SETTINGS}, request_only=True
            ),
            _MADE,
        ],
    )
    @requires("admin", "users", capability="sso")
    def post(self, request: Request) -> Response:
        recent.require(self.knock)
        body, given = self.given()
        provider = providers.create(
            organisation=self.knock.known_organisation,
            slug=values.slug(body.get("id")),
            values=values.parse(given),
            actor=self.actor,
        )
        if body.get("enabled"):
            provider = providers.enable(provider=provider, actor=self.actor)
        return etags.tagged(self.shown(provider), status=201)


class ProviderView(_Providers):
    @extend_schema(
        operation_id="getSsoProvider",
        summary="One identity provider",
        parameters=[ETAG],
        responses=serializers.Provider,
        examples=[_MADE],
    )
    @requires("read", "users", capability="sso")
    def get(self, request: Request, slug: str) -> Response:
        return etags.tagged(self.shown(self.found(slug)))

    @extend_schema(
        operation_id="updateSsoProvider",
        summary="Change an identity provider",
        description="What is left out stays as it is. Another issuer needs its own client secret and "
        "switches the provider off, unless `enabled` is sent along.",
        parameters=[IF_MATCH, ETAG],
        request=serializers.ProviderSettings,
        responses={200: serializers.Provider, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample("Settings", value=serializers.EXAMPLE_SETTINGS, request_only=True),
            _MADE,
        ],
    )
    @requires("admin", "users", capability="sso")
    def put(self, request: Request, slug: str) -> Response:
        recent.require(self.knock)
        provider = self.found(slug)
        etags.require(request, self.shown(provider))
        body, given = self.given()
        if body.get("id", provider.slug) != provider.slug:
            raise Problem(400, "invalid_id", "A provider keeps its id.")
        provider = providers.update(
            provider=provider, values=values.parse(given, stored=provider), actor=self.actor
        )
        if "enabled" in body:
            turn = providers.enable if body["enabled"] else providers.disable
            provider = turn(provider=provider, actor=self.actor)
        return etags.tagged(self.shown(provider))

    @extend_schema(
        operation_id="deleteSsoProvider",
        summary="Remove an identity provider",
        description="Its people stay members. 409 `last_provider_required` while single sign-on is "
        "required and this is the only way in.",
        parameters=[IF_MATCH],
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users", capability="sso")
    def delete(self, request: Request, slug: str) -> HttpResponse:
        recent.require(self.knock)
        provider = self.found(slug)
        etags.require(request, self.shown(provider))
        providers.delete(provider=provider, actor=self.actor)
        return HttpResponse(status=204)


class ProviderTestView(_Providers):
    @extend_schema(
        operation_id="testSsoProvider",
        summary="Ask the provider for its discovery document",
        description="Asks the provider what it says of itself, now: 400 `discovery_failed` with the "
        "reason. Signing in as a test takes a browser: the provider's page in the settings.",
        request=None,
        responses=serializers.Discovered,
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample(
                "It answers",
                value={
                    "success": True,
                    "issuer": "https://login.example.com",
                    "authorizationEndpoint": "https://login.example.com/authorize",
                    "tokenEndpoint": "https://login.example.com/token",
                    "jwksUri": "https://login.example.com/jwks.json",
                    "userinfoEndpoint": "https://login.example.com/userinfo",
                    "scopesSupported": ["openid", "email", "groups"],
                    "claimsSupported": ["sub", "email", "groups"],
                },
                response_only=True,
            )
        ],
    )
    @requires("admin", "users", capability="sso")
    def post(self, request: Request, slug: str) -> Response:
        recent.require(self.knock)
        provider = self.found(slug)
        try:
            facts = providers.probe(provider)
        except Problem as problem:
            self._note(provider, problem.title)
            raise
        self._note(provider)
        return Response(
            {
                "success": True,
                "issuer": facts.issuer,
                "authorizationEndpoint": facts.authorization_endpoint,
                "tokenEndpoint": facts.token_endpoint,
                "jwksUri": facts.jwks_uri,
                "userinfoEndpoint": facts.userinfo_endpoint,
                "scopesSupported": list(facts.scopes),
                "claimsSupported": list(facts.claims),
            }
        )

    def _note(self, provider: SsoProvider, failure: str = "") -> None:
        trail.record(
            action="sso_provider_test",
            actor=self.actor,
            organisation=provider.organisation_id,
            subject=f"provider {provider.slug}",
            success=not failure,
            reason=failure,
        )


class MappingsView(_Providers):
    @extend_schema(
        operation_id="getSsoMappings",
        summary="Which group gives which role",
        parameters=[ETAG],
        responses=serializers.Mappings,
        examples=[OpenApiExample("Two", value=serializers.EXAMPLE_MAPPINGS, response_only=True)],
    )
    @requires("read", "users", capability="sso")
    def get(self, request: Request, slug: str) -> Response:
        return etags.tagged({"groupRoleMappings": mapping.of(self.found(slug))})

    @extend_schema(
        operation_id="setSsoMappings",
        summary="Replace the group mappings",
        description="Replaces the whole mapping. While any group is mapped, the roles of a person's "
        "groups replace theirs at every sign-in, and no match clears them. 400 `validation_error`; "
        "403 `escalation_denied` for a role with more than the caller has.",
        parameters=[IF_MATCH, ETAG],
        request=serializers.Mappings,
        responses=serializers.Mappings,
        extensions=SESSION_ONLY,
        examples=[OpenApiExample("Two", value=serializers.EXAMPLE_MAPPINGS)],
    )
    @requires("admin", "users", capability="sso")
    def put(self, request: Request, slug: str) -> Response:
        recent.require(self.knock)
        provider = self.found(slug)
        etags.require(request, {"groupRoleMappings": mapping.of(provider)})
        body = self.body(known=frozenset({"groupRoleMappings"}))
        wanted = values.mapping(body.get("groupRoleMappings"))
        stored = providers.set_mapping(provider=provider, wanted=wanted, actor=self.actor)
        return etags.tagged({"groupRoleMappings": dict(sorted(stored.items()))})
