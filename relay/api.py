"""Relay settings, relay status and onboarding on an organisation's host (relay-protocol section 20)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rbac.authentication import presented_token
from relay import api_examples as examples
from relay import onboarding, serializers
from relay.models import Registration
from relay.status import status
from tenants.door import Refused, TenantAPIView, requires
from tenants.http import bodies
from tenants.http.problems import Problem
from tenants.models import Organisation, Runtime

_SETTINGS = frozenset({"enabled", "server_url", "instance_secret"})
_CODE = frozenset({"instance_id", "relay_url", "auth_token"})


class RelayView(TenantAPIView):
    """Errors as the contract has them; the organisation is there once the door let in."""

    by_contract = True

    @property
    def organisation(self) -> Organisation:
        return self.knock.known_organisation


class RelayStatusView(RelayView):
    """GET: whether phones can reach the organisation now."""

    @extend_schema(
        operation_id="relay_status_read",
        summary="Whether phones can reach the organisation now",
        responses=serializers.RelayStatusSerializer,
        examples=[examples.STATUS],
    )
    @requires("read", "settings", capability="relay")
    def get(self, request: Request) -> Response:
        return Response(status(self.organisation))


class RelaySettingsView(RelayView):
    """The registration is machine-owned: it can be read, and there is nothing to set.

    PUT takes the contract's body. One that asks for what is the case already is answered 200; one
    that would change something 409 `relay_machine_owned`.
    """

    @extend_schema(
        operation_id="relay_settings_read",
        summary="The registration at the relay",
        responses=serializers.RelaySettingsSerializer,
        examples=[examples.SETTINGS],
    )
    @requires("read", "settings", capability="relay")
    def get(self, request: Request) -> Response:
        return Response(_settings(self.organisation))

    @extend_schema(
        operation_id="relay_settings_write",
        summary="Ask for relay settings",
        description="What is the case already is answered 200; a change 409 `relay_machine_owned`.",
        request=serializers.RelaySettingsWriteSerializer,
        responses={200: serializers.RelaySettingsSerializer, 409: None},
        examples=[examples.SETTINGS_WRITE, examples.SETTINGS],
    )
    @requires("write", "settings", capability="relay")
    def put(self, request: Request) -> Response:
        wanted = self.body(known=_SETTINGS)
        now = _settings(self.organisation)
        if not isinstance(wanted.get("enabled", True), bool):
            raise Problem(400, "invalid_request", "enabled must be true or false.")
        server_url = bodies.text(wanted, "server_url", longest=2000)
        secret = bodies.text(wanted, "instance_secret", longest=2000)
        if (
            wanted.get("enabled", now["enabled"]) != now["enabled"]
            or server_url not in ("", now["server_url"])
            or secret
        ):
            raise Problem(
                409,
                "relay_machine_owned",
                "The relay of a hosted organisation is set up and kept by the platform.",
            )
        return Response(now)


class OnboardingView(RelayView):
    """The token for the phone comes in a header and from nowhere else: an address is logged."""

    def prepared(self) -> onboarding.Onboarding:
        """Raises Refused(409 `onboarding_not_ready`) with the diagnostics."""
        token = presented_token(self.knock.request) or ""
        try:
            return onboarding.prepare(self.organisation, token=token)
        except onboarding.NotReady as not_ready:
            raise Refused(
                409,
                "onboarding_not_ready",
                "A phone cannot pair yet. The diagnostics say why.",
                body={
                    "error": "A phone cannot pair yet.",
                    "code": "onboarding_not_ready",
                    "diagnostics": [d.body() for d in not_ready.diagnostics],
                },
            ) from None


class QrView(OnboardingView):
    """GET: what the QR code holds, as JSON."""

    @extend_schema(
        operation_id="onboarding_qr_read",
        summary="What the QR code holds",
        responses={200: serializers.QrSerializer, 409: examples.NOT_READY},
        examples=[examples.QR],
    )
    @requires("read", "settings", capability="relay")
    def get(self, request: Request) -> Response:
        return Response(self.prepared().qr(), headers=_SECRET)


class QrPictureView(OnboardingView):
    """GET: the QR code itself, SVG."""

    @extend_schema(
        operation_id="onboarding_qr_picture",
        summary="The QR code itself",
        responses={(200, "image/svg+xml"): OpenApiTypes.STR, 409: examples.NOT_READY},
        examples=[examples.PICTURE],
    )
    @requires("read", "settings", capability="relay")
    def get(self, request: Request) -> HttpResponse:
        picture = onboarding.svg(self.prepared().pairing.link())
        return HttpResponse(picture, content_type="image/svg+xml", headers=_SECRET)


class DeepLinkView(OnboardingView):
    """GET: {url, diagnostics}."""

    @extend_schema(
        operation_id="onboarding_link_read",
        summary="The pairing link",
        responses={200: serializers.DeepLinkSerializer, 409: examples.NOT_READY},
        examples=[examples.LINK],
    )
    @requires("read", "settings", capability="relay")
    def get(self, request: Request) -> Response:
        ready = self.prepared()
        body = {
            "url": ready.pairing.link(),
            "diagnostics": [d.body() for d in ready.diagnostics],
        }
        return Response(body, headers=_SECRET)


class ValidateView(RelayView):
    """POST {instance_id, relay_url, auth_token} -> {success, diagnostics}; unknown keys are 400."""

    @extend_schema(
        operation_id="onboarding_validate",
        summary="Check what a phone read from a code",
        request=serializers.CodeSerializer,
        responses=serializers.ValidationSerializer,
        examples=[examples.CODE, examples.VALID],
    )
    @requires("read", "settings", capability="relay")
    def post(self, request: Request) -> Response:
        body = self.body(known=_CODE)
        found = onboarding.validate(
            self.organisation,
            instance_id=bodies.text(body, "instance_id", longest=200),
            relay_url=bodies.text(body, "relay_url", longest=2000),
            auth_token=bodies.text(body, "auth_token", longest=200),
        )
        return Response(
            {
                "success": not any(d.severity == onboarding.ERROR for d in found),
                "diagnostics": [d.body() for d in found],
            }
        )


_SECRET = {"Cache-Control": "no-store"}  # the answer holds the phone's token


def _settings(organisation: Organisation) -> dict[str, Any]:
    """Never the instance secret (there is none: the lease names the host) or the private key."""
    registration = Registration.objects.filter(organisation=organisation).first()
    return {
        "enabled": registration is not None and organisation.runtime == Runtime.BUILTIN,
        "server_url": settings.RELAY_PUBLIC_URL,
        "identity_public_key": registration.identity_public_key if registration else "",
        "identity_fingerprint": registration.identity_fingerprint if registration else "",
    }
