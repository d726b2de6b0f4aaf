"""How sign-up and life cycle are described in the API's documentation, with examples."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from tenants.openapi_parts import PUBLIC, SESSION_WRITES
from tenants.organisation_serializers import (
    MessageSerializer,
    ReasonSerializer,
    SignupSerializer,
)
from tenants.serializers import OrganisationSerializer

_ID = OpenApiParameter(
    "organisation_id", str, OpenApiParameter.PATH, description="The organisation's UUID."
)
_REFUSED = {400: None, 401: None, 403: None, 404: None, 409: None}
_REASON = OpenApiExample("With a reason", value={"reason": "moving house"}, request_only=True)
_ORGANISATION = {
    "id": "6f1b5c3e-2a77-4b0e-9a4f-0d1c2b3a4f5e",
    "displayName": "Example Ltd",
    "status": "active",
    "createdAt": "2026-01-01T00:00:00Z",
    "ownerUserId": "0c9d1e3a-4f67-4b0e-9a4f-5b2f0c9d1e3a",
    "ownerEmail": "ann@example.com",
    "members": [
        {
            "userId": "0c9d1e3a-4f67-4b0e-9a4f-5b2f0c9d1e3a",
            "email": "ann@example.com",
            "role": "owner",
            "addedAt": "2026-01-01T00:00:00Z",
        }
    ],
    "pendingInvitations": [],
    "sharedResources": [],
}

SIGNUP: Final = extend_schema(
    operation_id="signup",
    summary="Sign an organisation up",
    description="The answer is the same whether or not anything happened. Five an hour and address.",
    auth=PUBLIC,
    request=SignupSerializer,
    responses={202: MessageSerializer, 400: None, 404: None, 429: None, 500: None, 503: None},
    examples=[
        OpenApiExample(
            "Invited",
            value={
                "email": "ann@example.com",
                "org_name": "Example Ltd",
                "invitation": "the code of the invitation",
            },
            request_only=True,
        ),
        OpenApiExample(
            "Always this",
            value={"message": "If everything was right, a mail is on its way."},
            response_only=True,
            status_codes=["202"],
        ),
    ],
)
SUSPEND: Final = extend_schema(
    operation_id="organisation_suspend",
    summary="Suspend an organisation",
    description="For its owner and platform staff, signed in on the base domain. "
    "409 `already_suspended`.",
    auth=SESSION_WRITES,
    parameters=[_ID],
    request=ReasonSerializer,
    responses={200: OrganisationSerializer, **_REFUSED},
    examples=[
        _REASON,
        OpenApiExample(
            "Suspended",
            value={
                **_ORGANISATION,
                "status": "suspended",
                "suspendedAt": "2026-02-01T00:00:00Z",
                "suspendReason": "moving house",
            },
            response_only=True,
        ),
    ],
)
UNSUSPEND: Final = extend_schema(
    operation_id="organisation_unsuspend",
    summary="Lift a suspension",
    description="403 `suspended_by_other`: only the platform lifts what the platform did. "
    "409 `not_suspended`.",
    auth=SESSION_WRITES,
    parameters=[_ID],
    request=None,
    responses={200: OrganisationSerializer, **_REFUSED},
    examples=[OpenApiExample("Active again", value=_ORGANISATION, response_only=True)],
)
PURGE: Final = extend_schema(
    operation_id="organisation_purge",
    summary="Remove a canary at once",
    description="409 `retention_required` for every other organisation.",
    auth=SESSION_WRITES,
    parameters=[_ID],
    request=ReasonSerializer,
    responses={200: OrganisationSerializer, **_REFUSED},
    examples=[
        _REASON,
        OpenApiExample(
            "On its way out",
            value={**_ORGANISATION, "status": "pending_deletion"},
            response_only=True,
        ),
    ],
)
