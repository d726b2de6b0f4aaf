"""GET /api/organisation: what a member or a paired phone sees of its organisation."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.door import TenantAPIView, requires
from tenants.organisation_serializers import OrganisationSummarySerializer


class OrganisationView(TenantAPIView):
    """{id, displayName, label, host, status, runtime, role, createdAt}; no addresses of people."""

    @extend_schema(
        operation_id="organisation_read",
        summary="The organisation, and what the caller is in it",
        description="No addresses of people: a paired phone may read this.",
        responses=OrganisationSummarySerializer,
        examples=[
            OpenApiExample(
                "An organisation",
                value={
                    "id": "6f1b5c3e-2a77-4b0e-9a4f-0d1c2b3a4f5e",
                    "displayName": "Example Ltd",
                    "label": "example",
                    "host": "example.pulse.example.com",
                    "status": "active",
                    "runtime": "builtin",
                    "role": "owner",
                    "createdAt": "2026-01-01T00:00:00Z",
                },
            )
        ],
    )
    @requires("read", "organisation")
    def get(self, request: Request) -> Response:
        organisation = self.knock.known_organisation
        return Response(
            {
                "id": str(organisation.pk),
                "displayName": organisation.display_name,
                "label": organisation.label,
                "host": organisation.instance_host,
                "status": organisation.state,
                "runtime": organisation.runtime,
                "role": self.knock.known_membership.role,
                "createdAt": f"{organisation.created_at:%Y-%m-%dT%H:%M:%S}Z",
            }
        )
