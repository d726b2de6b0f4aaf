"""How sign-up and life cycle are described in the API's documentation, with examples."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from tenants.http.openapi_parts import PUBLIC, SESSION_WRITES
from tenants.organisation_serializers import (
    AcceptedSerializer,
    HostedOrganisationSerializer,
    MagicLinkSerializer,
    MailboxSerializer,
    MessageSerializer,
    ReasonSerializer,
    SignedInSerializer,
    SignupSerializer,
    SoftDeleteSerializer,
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
    description="The answer is the same whether or not anything happened. Five an hour and address. "
    "503 `signups_stopped` or `stage_full` with `Retry-After`, to everybody alike, while nobody can "
    "sign up.",
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
    "409 `already_suspended`. Staff: 403 `second_factor_required`, and 401 `fresh_session_required` "
    "when they signed in more than five minutes ago.",
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
_DELETING = {
    **_ORGANISATION,
    "status": "pending_deletion",
    "deletionRequestedAt": "2026-02-01T00:00:00Z",
    "retentionDays": 30,
}
SOFT_DELETE: Final = extend_schema(
    operation_id="organisation_soft_delete",
    summary="Schedule an organisation's deletion",
    description="It is shut at once, and deleted when its retention is over; until then it can be "
    "restored. 400 `invalid_retention_days`, 409 `already_pending_deletion`.",
    auth=SESSION_WRITES,
    parameters=[_ID],
    request=SoftDeleteSerializer,
    responses={200: OrganisationSerializer, **_REFUSED},
    examples=[
        OpenApiExample("Keep it a month", value={"retention_days": 30}, request_only=True),
        OpenApiExample("Scheduled", value=_DELETING, response_only=True),
    ],
)
RESTORE: Final = extend_schema(
    operation_id="organisation_restore",
    summary="Cancel an organisation's deletion",
    description="It is again what it was, active or suspended. 403 `deletion_by_other`: only the "
    "platform cancels what the platform asked for. 409 `not_pending_deletion`, `retention_over`.",
    auth=SESSION_WRITES,
    parameters=[_ID],
    request=ReasonSerializer,
    responses={200: OrganisationSerializer, **_REFUSED},
    examples=[
        _REASON,
        OpenApiExample("Active again", value=_ORGANISATION, response_only=True),
    ],
)
HOSTED_ORGANISATIONS: Final = extend_schema(
    operation_id="hosted_organisations_list",
    summary="Every organisation, for platform staff",
    description="403 `access_denied` for everybody else. One that is still being set up, or that "
    "is gone, is not in it.",
    responses={
        200: HostedOrganisationSerializer(many=True),
        401: None,
        403: None,
        404: None,
        405: None,
    },
    examples=[
        OpenApiExample(
            "One",
            value={
                "org_id": _ORGANISATION["id"],
                "display_name": "Example Ltd",
                "owner_user_id": _ORGANISATION["ownerUserId"],
                "created_at": "2026-01-01T00:00:00Z",
                "suspended": False,
                "soft_deleted": False,
            },
            response_only=True,
        )
    ],
)
PURGE: Final = extend_schema(
    operation_id="organisation_purge",
    summary="Remove a canary at once",
    description="409 `retention_required` for every other organisation, `purge_running` while "
    "somebody else removes it. 500 `purge_failed`: it goes on by itself later.",
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
_TOKEN = OpenApiParameter(
    "token", str, required=True, description="What stands in the mailed link: `ml1_…`."
)
_AS_JSON = OpenApiParameter(
    "format", str, enum=["json"], description="Answer a program; or send Accept: application/json."
)
MAGIC_LINK: Final = extend_schema(
    operation_id="magic_link_request",
    summary="Ask for a sign-in link by mail",
    description="The answer is the same whether or not the address is known.",
    auth=PUBLIC,
    request=MailboxSerializer,
    responses={200: AcceptedSerializer, 400: None, 404: None, 429: None, 503: None},
    examples=[
        OpenApiExample("A mailbox", value={"email": "ann@example.com"}, request_only=True),
        OpenApiExample(
            "Always this",
            value={"success": True, "message": "If the address is known, a link is on its way."},
            response_only=True,
        ),
    ],
)
MAGIC_LINK_LOOK: Final = extend_schema(
    operation_id="magic_link_look",
    summary="Look at a sign-in link without using it up",
    description="400 `invalid_magic_link`: unknown, used or expired.",
    auth=PUBLIC,
    parameters=[_TOKEN, _AS_JSON],
    responses={200: MagicLinkSerializer, 400: None, 404: None, 429: None},
    examples=[
        OpenApiExample("Good", value={"confirm": "POST", "email": "ann@example.com"}),
    ],
)
MAGIC_LINK_USE: Final = extend_schema(
    operation_id="magic_link_use",
    summary="Sign in with a link, once",
    description="Sets the session cookie of the base domain. 400 `invalid_magic_link`; 403 from "
    "another origin.",
    auth=PUBLIC,
    parameters=[_TOKEN, _AS_JSON],
    request=None,
    responses={200: SignedInSerializer, 400: None, 403: None, 404: None, 429: None},
    examples=[
        OpenApiExample(
            "Signed in",
            value={
                "success": True,
                "org_id": _ORGANISATION["id"],
                "user_id": _ORGANISATION["ownerUserId"],
                "email": "ann@example.com",
            },
            response_only=True,
        )
    ],
)
