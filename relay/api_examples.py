"""Examples of relay and onboarding in the API's documentation."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from relay.serializers import NotReadySerializer
from relay.wire.pairing import SCHEMA, Pairing

_FINGERPRINT = ":".join(["3f", "a1", "07", "c4"] * 8)
_KEY = "m3cH0o2VvG1ZrXl0k8N5n4yJ6w7Qe9tTzB1aCdEfGhI="
_TOKEN = "0a1b2c3d" * 8
_LINK = "pulse://connect?schema=pulse-mobile-onboarding-v1&instance_id=relay_5b2f0c9d1e3a4f67&auth_token="
_RELAY: dict[str, Any] = {
    "identity_fingerprint": _FINGERPRINT,
    "identity_public_key": _KEY,
}

_LINK = Pairing(
    instance_id="relay_5b2f0c9d1e3a4f67",
    relay_url="wss://relay.pulse.example.com/ws/app",
    auth_token=_TOKEN,
    identity_fingerprint=_FINGERPRINT,
    identity_public_key=_KEY,
).link()

STATUS: Final = OpenApiExample(
    "Connected",
    value={
        "connected": True,
        "instance_id": "relay_5b2f0c9d1e3a4f67",
        "active_channels": 1,
        "runtime": "builtin",
        "acknowledged": True,
        "credential": "lease",
        "credential_expires_at": "2026-01-02T00:00:00+00:00",
        "connected_at": "2026-01-01T08:30:00+00:00",
    },
)
SETTINGS: Final = OpenApiExample(
    "Kept by the platform",
    value={"enabled": True, "server_url": "wss://relay.pulse.example.com", **_RELAY},
    response_only=True,
)
SETTINGS_WRITE: Final = OpenApiExample(
    "What is the case already", value={"enabled": True}, request_only=True
)
QR: Final = OpenApiExample(
    "For one phone",
    value={
        "schema": SCHEMA,
        "instance_id": "relay_5b2f0c9d1e3a4f67",
        "relay": {"enabled": True, "url": "wss://relay.pulse.example.com/ws/app", **_RELAY},
        "auth_token": _TOKEN,
        "deep_link": _LINK,
        "diagnostics": [],
    },
)
PICTURE: Final = OpenApiExample(
    "SVG",
    value='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 77 77">…</svg>',
    media_type="image/svg+xml",
)
LINK: Final = OpenApiExample("For one phone", value={"url": _LINK, "diagnostics": []})
NOT_READY: Final = OpenApiResponse(
    NotReadySerializer,
    "`onboarding_not_ready`: the diagnostics say why. A code is made for a phone's token, so "
    "asking without one is answered this as well.",
    [
        OpenApiExample(
            "No token of a phone",
            value={
                "error": "A phone cannot pair yet.",
                "message": "A phone cannot pair yet. The diagnostics say why.",
                "code": "onboarding_not_ready",
                "diagnostics": [
                    {
                        "code": "auth_token_missing",
                        "severity": "error",
                        "message": "No token was sent.",
                    }
                ],
            },
        )
    ],
)
CODE: Final = OpenApiExample(
    "From a QR code",
    value={
        "instance_id": "relay_5b2f0c9d1e3a4f67",
        "relay_url": "wss://relay.pulse.example.com/ws/app",
        "auth_token": _TOKEN,
    },
    request_only=True,
)
VALID: Final = OpenApiExample(
    "It works", value={"success": True, "diagnostics": []}, response_only=True
)
