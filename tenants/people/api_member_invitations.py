"""Open invitations to the organisation, for those who manage its people (hosted-contract 9.2)."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api_orgs import OrganisationRoute
from tenants.door import requires
from tenants.http import listing
from tenants.http.openapi import SESSION_ONLY, listed
from tenants.models import MemberInvitation
from tenants.people import member_invitations, people_json
from tenants.serializers import EXAMPLE_INVITATION, InvitationSerializer

_ORDERING = {"invitedAt": "created_at", "email": "email", "expiresAt": "expires_at"}


class InvitationsRoute(OrganisationRoute):
    def found(self, named: str) -> MemberInvitation:
        """By its id or, as in the contract, by whom it invites.

        Raises Problem 404 `invitation_not_found`.
        """
        open_ones = member_invitations.of_organisation(self.organisation)
        try:
            found = open_ones.filter(pk=UUID(named)).first()
        except ValueError:
            found = member_invitations.to(named, open_ones).first()
        if found is None:
            raise member_invitations.not_found()
        return found


class InvitationsView(InvitationsRoute):
    @extend_schema(
        operation_id="invitations_list",
        summary="Who is invited and has not answered",
        parameters=listed(ordering=_ORDERING, role="Only for this role.", email="Part of it."),
        responses={200: InvitationSerializer(many=True)},
        examples=[OpenApiExample("Bob", value=EXAMPLE_INVITATION, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request, organisation_id: str) -> Response:
        return listing.page(
            request,
            member_invitations.of_organisation(self.organisation).filter(
                expires_at__gt=timezone.now()
            ),
            people_json.invitation,
            ordering=_ORDERING,
            default="-invitedAt",
            filters={"role": "role", "email": "email__icontains"},
        )


class InvitationView(InvitationsRoute):
    @extend_schema(
        operation_id="invitation_revoke",
        summary="Revoke an invitation",
        description="By its id or by the address that it was sent to. Its link stops working at "
        "once. 404 `invitation_not_found`.",
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users")
    def delete(self, request: Request, organisation_id: str, invitation: str) -> HttpResponse:
        member_invitations.revoke(invitation=self.found(invitation), actor=self.actor)
        return HttpResponse(status=204)


class ResendView(InvitationsRoute):
    @extend_schema(
        operation_id="invitation_resend",
        summary="Send an invitation again",
        description="With a new link, which lives as long as a new invitation's; the old one is "
        "dead. 404 `invitation_not_found`; 403 `escalation_denied`; 429 `sent_recently`, "
        "`too_many_invitations`, `too_many_mails`.",
        request=None,
        responses={200: InvitationSerializer, 409: None},
        examples=[OpenApiExample("Sent again", value=EXAMPLE_INVITATION, response_only=True)],
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users")
    def post(self, request: Request, organisation_id: str, invitation: str) -> Response:
        found = self.found(invitation)
        sent = member_invitations.resend(invitation=found, actor=self.actor)
        return Response(people_json.invitation(sent))
