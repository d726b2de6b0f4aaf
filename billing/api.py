"""POST /api/entitlements/refresh: lease renewal for external runtimes (hosted-contract section 15.3).

Errors are plain text; clients act on the status alone. 400, 401, 404 and 410 make a runtime forget
its lease and token for good, so whatever may pass answers 429 or 503 with Retry-After instead.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from billing import refresh
from billing.serializers import LeaseSerializer, RefreshSerializer
from tenants import limits, metrics
from tenants.http.openapi import documented

logger = logging.getLogger(__name__)

MOST_BODY: Final = 16 * 1024
PER_HOUR: Final = (
    60  # per address (section 15.3) and per credential; a client asks at most 60 times
)
HOUR: Final = 3600
SUSPENDED_RETRY: Final = 300  # seconds
OFF_RETRY: Final = 600  # seconds


def _plain(description: str) -> OpenApiResponse:
    return OpenApiResponse(OpenApiTypes.STR, description)


@documented(
    post=extend_schema(
        operation_id="lease_refresh",
        summary="Renew the lease of an external runtime",
        description="Errors are plain text: act on the status alone.",
        auth=[],
        request=RefreshSerializer,
        responses={
            200: LeaseSerializer,
            (400, "text/plain"): _plain("No JSON object, or a field is missing."),
            (401, "text/plain"): _plain("The token is not known for this host."),
            (410, "text/plain"): _plain("This token gives no lease any more."),
            (413, "text/plain"): _plain("Over 16 KiB."),
            (429, "text/plain"): _plain("Too many; Retry-After says when to come back."),
            (503, "text/plain"): _plain("Not now; Retry-After says when to come back."),
        },
        examples=[
            OpenApiExample(
                "A runtime asks",
                value={
                    "instance_host": "example.pulse.example.com",
                    "entitlement_refresh_token": "etr_hosted_" + "0a1b2c3d" * 6,
                },
                request_only=True,
            ),
            OpenApiExample("A lease", value={"entitlement_jwt": "eyJ…"}, response_only=True),
        ],
    )
)
@csrf_exempt
def refresh_entitlement(request: HttpRequest) -> HttpResponse:
    """200 {entitlement_jwt}, 400, 401, 405, 410, 413, 429 or 503."""
    if request.method != "POST":
        return _text(405, "Only POST.", Allow="POST")
    if not settings.HOSTED_MODE:
        return metrics.decided(_text(503, "Hosted mode is off.", retry=OFF_RETRY))
    if not limits.allow(
        "refresh-address", limits.address_of(request), limit=PER_HOUR, seconds=HOUR
    ):
        return _text(429, "Too many requests from this address.", retry=HOUR)
    # Looked at before the body is read into memory.
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BODY:
        return _text(413, "The body is too large.")
    body = _json(request)
    if body is None:
        return _text(400, "The body must be a JSON object.")
    host, token = body.get("instance_host"), body.get("entitlement_refresh_token")
    org_id = body.get("org_id", "")
    if not (isinstance(host, str) and host.strip() and isinstance(token, str) and token.strip()):
        return _text(400, "instance_host and entitlement_refresh_token are needed.")
    credential = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    if not limits.allow("refresh-token", credential, limit=PER_HOUR, seconds=HOUR):
        return _text(429, "Too many requests with this token.", retry=HOUR)
    try:
        lease = refresh.refresh(
            org_id=org_id if isinstance(org_id, str) else "?",
            instance_host=host,
            token=token.strip(),
        )
    except refresh.Unknown:
        return _text(401, "The token is not known for this host.")
    except refresh.Gone:
        return _text(410, "This token gives no lease any more.")
    except refresh.Later:
        return metrics.decided(_text(503, "The organisation is suspended.", retry=SUSPENDED_RETRY))
    return JsonResponse({"entitlement_jwt": lease.token}, headers={"Cache-Control": "no-store"})


def _json(request: HttpRequest) -> dict[str, Any] | None:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _text(status: int, text: str, *, retry: int | None = None, **headers: str) -> HttpResponse:
    if retry is not None:
        headers["Retry-After"] = str(retry)
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain", headers=headers)
