"""GET /api/organisation: what a member or a paired phone sees of its organisation."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from tenants.door import TenantAPIView, requires


class OrganisationView(TenantAPIView):
    """{id, displayName, label, host, status, runtime, role, createdAt}; no addresses of people."""

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
