"""The organisation as the contract has it, on its own host (hosted-contract section 9.2)."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actors import Actor
from tenants import naming
from tenants.api import organisation_json
from tenants.door import TenantAPIView, requires
from tenants.http import etags, listing
from tenants.http.openapi import ETAG, IF_MATCH, SESSION_ONLY
from tenants.http.problems import Problem
from tenants.models import Organisation
from tenants.people import membership
from tenants.serializers import EXAMPLE_ORGANISATION, OrganisationSerializer, RenameOrganisation

_READS = ("GET", "HEAD")


class OrganisationRoute(TenantAPIView):
    """Routes that carry the organisation's id. Another's is 404 whether or not it exists; what
    changes something takes a signed-in person (403 `session_required` for API tokens)."""

    by_contract = True

    @property
    def organisation(self) -> Organisation:
        return self.knock.known_organisation

    @property
    def actor(self) -> Actor:
        return Actor.person(self.knock.known_user)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        wanted = kwargs.get("organisation_id")
        if wanted is not None and wanted.lower() != str(self.organisation.pk):
            raise Problem(404, "not_found", "There is no such organisation here.")
        if request.method not in _READS and self.knock.token is not None:
            raise Problem(
                403, "session_required", "This takes a signed-in person, not an API token."
            )

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """Says when to come back, as the body does in `retryAfter` (seconds)."""
        answer = super().handle_exception(exc)
        if isinstance(exc, Problem) and "retryAfter" in exc.extra:
            answer["Retry-After"] = str(exc.extra["retryAfter"])
        return answer

    def told(self, organisation: Organisation) -> dict[str, Any]:
        """The organisation, as far as the caller may see it."""
        return organisation_json(organisation, with_people=self.knock.may("read", "users"))


class OrganisationsView(OrganisationRoute):
    @extend_schema(
        operation_id="organisations_list",
        summary="The organisations that can be reached here",
        description="On an organisation's host that is this one; the base domain lists all of the "
        "caller's.",
        responses={200: OrganisationSerializer(many=True)},
        examples=[OpenApiExample("One", value=EXAMPLE_ORGANISATION, response_only=True)],
    )
    @requires("read", "organisation")
    def get(self, request: Request) -> Response:
        return listing.page(request, [self.organisation], self.told)


class OrganisationByIdView(OrganisationRoute):
    @extend_schema(
        operation_id="organisation_get",
        summary="One organisation with its people",
        description="Members and open invitations are left out for callers who may not read users. "
        "The first 1,000 of each are shown; `/members` and `/invitations` below page through all.",
        parameters=[ETAG],
        responses={200: OrganisationSerializer},
        examples=[OpenApiExample("One", value=EXAMPLE_ORGANISATION, response_only=True)],
    )
    @requires("read", "organisation")
    def get(self, request: Request, organisation_id: str) -> Response:
        return etags.tagged(self.told(self.organisation))

    @extend_schema(
        operation_id="organisation_rename",
        summary="Change what the organisation is called",
        description="400 `invalid_display_name`. Its address never changes.",
        parameters=[ETAG, IF_MATCH],
        request=RenameOrganisation,
        responses={200: OrganisationSerializer, 409: None},
        examples=[
            OpenApiExample("Rename", value={"displayName": "Acme Networks"}, request_only=True),
            OpenApiExample("Renamed", value=EXAMPLE_ORGANISATION, response_only=True),
        ],
        extensions=SESSION_ONLY,
    )
    @requires("write", "organisation")
    def put(self, request: Request, organisation_id: str) -> Response:
        name = self.body().get("displayName")
        with transaction.atomic():
            organisation = membership.active(self.organisation)
            told = self.told(organisation)
            etags.require(request, told)
            organisation = naming.rename(
                organisation=organisation,
                display_name=name if isinstance(name, str) else "",
                actor=self.actor,
            )
        return etags.tagged({**told, "displayName": organisation.display_name})
