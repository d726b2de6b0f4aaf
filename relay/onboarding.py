"""Pairing a phone: what the QR code holds, and why it cannot be shown yet (relay-protocol 20).

The link carries a bearer token. It is made from the token that the caller holds already, is never
stored, and answers are marked `no-store` by their views.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import segno
from django.conf import settings

from rbac import mobile, tokens
from relay.models import Registration
from relay.status import status
from relay.wire import addresses
from relay.wire.pairing import SCHEMA, Pairing
from tenants.models import Organisation, Runtime

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `severity` error makes pairing impossible, warning does not."""

    code: str
    severity: str
    message: str
    field: str = ""
    expected: str = ""
    received: str = ""

    def body(self) -> dict[str, str]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value}


class NotReady(Exception):
    """A phone could not pair with this now; `diagnostics` says why."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__("onboarding is not ready")
        self.diagnostics = diagnostics


@dataclass(frozen=True, slots=True)
class Onboarding:
    """A pairing that works, and warnings about it."""

    pairing: Pairing
    diagnostics: list[Diagnostic]

    def qr(self) -> dict[str, Any]:
        """The body of GET /api/onboarding/qr."""
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "instance_id": self.pairing.instance_id,
            "relay": {
                "enabled": True,
                "url": self.pairing.relay_url,
                "identity_fingerprint": self.pairing.identity_fingerprint,
                "identity_public_key": self.pairing.identity_public_key,
            },
            "auth_token": self.pairing.auth_token,
            "deep_link": self.pairing.link(),
            "diagnostics": [d.body() for d in self.diagnostics],
        }
        if self.pairing.instance_url:
            body["instance_url"] = self.pairing.instance_url
        return body


def prepare(organisation: Organisation, *, token: str) -> Onboarding:
    """What a phone needs to pair with `token`. Runs inside the organisation's schema.

    Raises NotReady when anything a phone requires is missing.
    """
    found = [*_reachability(organisation), *_relay_address(), *_token(token), *_instance_url()]
    registration = Registration.objects.filter(organisation=organisation).first()
    if registration is None or any(d.severity == ERROR for d in found):
        raise NotReady(found)
    pairing = Pairing(
        instance_id=registration.instance_id,
        relay_url=app_url() or "",
        auth_token=token,
        identity_public_key=registration.identity_public_key,
        identity_fingerprint=registration.identity_fingerprint,
        instance_url=instance_url(organisation),
    )
    return Onboarding(pairing, found)


def validate(
    organisation: Organisation, *, instance_id: str, relay_url: str, auth_token: str
) -> list[Diagnostic]:
    """Judges what a phone read from a code. Runs inside the organisation's schema."""
    found = [*_reachability(organisation), *_relay_address()]
    registration = Registration.objects.filter(organisation=organisation).first()
    found += _instance_id(registration, instance_id, known=status(organisation)["acknowledged"])
    found += _relay_url(relay_url)
    return [*found, *_token(auth_token), *_instance_url()]


def app_url() -> str | None:
    """The address phones dial; None when it is missing or wrong."""
    try:
        return addresses.app_url(settings.RELAY_PUBLIC_URL)
    except addresses.AddressError:
        return None


def instance_url(organisation: Organisation) -> str:
    """The organisation's own https address; empty without https (a phone refuses plain http)."""
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme != "https":
        return ""
    port = f":{public.port}" if public.port else ""
    return f"https://{organisation.instance_host}{port}"


def svg(link: str) -> bytes:
    """The link as a QR code, SVG without script or external parts, scaled by its view box."""
    target = io.BytesIO()
    segno.make(link, error="m", micro=False).save(
        target, kind="svg", border=4, omitsize=True, xmldecl=False, light="#ffffff", dark="#000000"
    )
    return target.getvalue()


def _reachability(organisation: Organisation) -> list[Diagnostic]:
    if organisation.runtime != Runtime.BUILTIN:
        return [
            Diagnostic(
                "relay_disabled",
                ERROR,
                "This organisation is served by an external runtime; pair with that one.",
                field="relay.enabled",
            )
        ]
    now = status(organisation)
    if "instance_id" not in now:
        return [
            Diagnostic(
                "relay_registration_unavailable",
                ERROR,
                "The organisation has no relay registration.",
                field="relay",
            ),
            Diagnostic(
                "instance_id_missing", ERROR, "There is no instance id.", field="instance_id"
            ),
        ]
    if not now["acknowledged"]:
        return [
            Diagnostic(
                "relay_registration_unavailable",
                ERROR,
                "The relay has not confirmed the registration yet. Try again in a moment.",
                field="relay",
            )
        ]
    if not now["connected"]:
        return [
            Diagnostic(
                "relay_registration_unavailable",
                WARNING,
                "Not connected to the relay now: a phone can pair once it is back.",
                field="relay",
            )
        ]
    return []


def _relay_address() -> list[Diagnostic]:
    if not settings.RELAY_PUBLIC_URL:
        message = "No relay address for phones is configured (PULSE_RELAY_PUBLIC_URL)."
        return [Diagnostic("relay_url_missing", ERROR, message, field="relay_url")]
    if app_url() is None:
        message = "The configured relay address is not usable (PULSE_RELAY_PUBLIC_URL)."
        return [Diagnostic("relay_url_invalid", ERROR, message, field="relay_url")]
    return []


def _token(token: str) -> list[Diagnostic]:
    if not token.strip():
        message = "Send the phone's token in X-API-Token or as a bearer token."
        return [Diagnostic("auth_token_missing", ERROR, message, field="auth_token")]
    found = tokens.peek(token.strip())
    if found is None or mobile.SCOPE not in found.scopes:
        message = "The token is unknown, revoked or not made for a phone."
        return [Diagnostic("auth_token_invalid", ERROR, message, field="auth_token")]
    return []


def _instance_url() -> list[Diagnostic]:
    if settings.PUBLIC_URL.startswith("https://"):
        return []
    message = "The public address is not https, so the code leaves it out. The relay still works."
    return [Diagnostic("instance_url_not_https", WARNING, message, field="instance_url")]


def _instance_id(
    registration: Registration | None, received: str, *, known: bool
) -> list[Diagnostic]:
    if not received:
        return [
            Diagnostic(
                "instance_id_missing", ERROR, "The code names no instance.", field="instance_id"
            )
        ]
    if registration is None or not known:
        message = "The relay has not confirmed this instance yet, so its id cannot be checked."
        return [
            Diagnostic(
                "instance_id_unverifiable",
                WARNING,
                message,
                field="instance_id",
                received=received,
            )
        ]
    if received != registration.instance_id:
        return [
            Diagnostic(
                "instance_id_mismatch",
                ERROR,
                "The code belongs to another instance.",
                field="instance_id",
                expected=registration.instance_id,
                received=received,
            )
        ]
    return []


def _relay_url(received: str) -> list[Diagnostic]:
    if not received:
        message = "The code names no relay."
        return [Diagnostic("relay_url_missing", ERROR, message, field="relay_url")]
    try:
        addresses.check(received)
    except addresses.AddressError as wrong:
        return [
            Diagnostic("relay_url_invalid", ERROR, str(wrong), field="relay_url", received=received)
        ]
    expected = app_url()
    if expected is not None and addresses.app_url(received) != expected:
        return [
            Diagnostic(
                "relay_url_mismatch",
                ERROR,
                "The code names another relay.",
                field="relay_url",
                expected=expected,
                received=received,
            )
        ]
    return []
