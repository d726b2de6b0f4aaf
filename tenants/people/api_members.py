"""Members: list, give a role, invite, transfer ownership, remove, leave (hosted-contract 9.2)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.accounts import recent
from tenants.api_orgs import OrganisationRoute
from tenants.door import requires
from tenants.http import listing
from tenants.http.openapi import SESSION_ONLY, listed
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership, User
from tenants.people import member_invitations, membership, ownership, people_json
from tenants.serializers import (
    EXAMPLE_INVITATION,
    EXAMPLE_MEMBER,
    InvitationAnswer,
    MemberAnswer,
    MemberSerializer,
    SetMember,
)

_ORDERING = {"addedAt": "added_at", "email": "user__email", "role": "role"}


class MembersView(OrganisationRoute):
    @extend_schema(
        operation_id="members_list",
        summary="Who belongs to the organisation",
        parameters=listed(
            ordering=_ORDERING, role="Only members with this role.", email="Part of the address."
        ),
        responses={200: MemberSerializer(many=True)},
        examples=[OpenApiExample("Ann", value=EXAMPLE_MEMBER, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request, organisation_id: str) -> Response:
        return listing.page(
            request,
            self.organisation.memberships.select_related("user"),
            people_json.member,
            ordering=_ORDERING,
            default="addedAt",
            filters={"role": "role", "email": "user__email__icontains"},
        )

    @extend_schema(
        operation_id="member_set",
        summary="Give a member another role, invite somebody, or transfer ownership",
        description=(
            "A member's id or address changes their role at once: 200. Any other address is "
            "invited by mail: 202, whether or not it has an account. The role `owner` transfers "
            "ownership to a member; it takes the owner (403 `owner_required`), a member (400 "
            "`owner_transfer_requires_member`) with a confirmed address (400 "
            "`owner_requires_mailbox`), and a sign-in of the last five minutes (401 "
            "`fresh_session_required`).\n\n"
            "Otherwise 400 `invalid_user`, `invalid_role`, `owner_role_immutable`; 403 "
            "`self_modification_denied`, `escalation_denied`; 409 `too_many_open_invitations`; "
            "429 `too_many_invitations`, `too_many_mails`."
        ),
        request=SetMember,
        responses={
            200: MemberAnswer,
            202: PolymorphicProxySerializer(
                component_name="Invited",
                serializers=[InvitationAnswer],
                resource_type_field_name=None,
            ),
            409: None,
        },
        examples=[
            OpenApiExample(
                "Invite", value={"email": "bob@example.com", "role": "editor"}, request_only=True
            ),
            OpenApiExample(
                "Role changed",
                value={"kind": "member", "member": EXAMPLE_MEMBER},
                response_only=True,
                status_codes=["200"],
            ),
            OpenApiExample(
                "Invited",
                value={"kind": "invitation", "invitation": EXAMPLE_INVITATION},
                response_only=True,
                status_codes=["202"],
            ),
        ],
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users")
    def post(self, request: Request, organisation_id: str) -> Response:
        body = self.body()
        who = _who(body)
        role = body.get("role", "")
        role = MemberRole.VIEWER.value if role in (None, "") else role
        if role not in MemberRole.values:
            raise Problem(400, "invalid_role", f"role must be one of {', '.join(MemberRole)}.")
        member = self._member(who)
        if role == MemberRole.OWNER:
            return _changed(self._transfer(member))
        if member is None and isinstance(who, UUID):
            raise Problem(400, "invalid_user", "No member has this id. Invite by email address.")
        if member is not None:
            return _changed(
                membership.change_role(
                    organisation=self.organisation, user=member.user, role=role, actor=self.actor
                )
            )
        invitation = member_invitations.invite(
            organisation=self.organisation,
            email=str(who),
            role=role,
            actor=self.actor,
            by=self.knock.known_user,
        )
        answer = {"kind": "invitation", "invitation": people_json.invitation(invitation)}
        return Response(answer, status=202)

    def _member(self, who: UUID | str) -> Membership | None:
        people = self.organisation.memberships.select_related("user")
        if isinstance(who, UUID):
            return people.filter(user=who).first()
        return people.filter(user__email=who.lower()).first()

    def _transfer(self, to: Membership | None) -> Membership:
        """In the contract's order: caller, target, freshness."""
        if self.knock.known_membership.role != MemberRole.OWNER:
            problem = ownership.owner_required()
            membership.note_refusal(
                problem,
                self.organisation,
                to.user if to else self.knock.known_user,
                self.actor,
                "ownership_transferred",
            )
            raise problem
        if to is None:
            raise ownership.requires_member()
        if not recent.is_recent(self.knock.request):
            raise Problem(
                401,
                "fresh_session_required",
                "Confirm that it is you: your sign-in is more than five minutes ago.",
            )
        return ownership.transfer_ownership(
            organisation=self.organisation, to=to.user, actor=self.actor
        )


class MemberView(OrganisationRoute):
    @extend_schema(
        operation_id="member_remove",
        summary="Remove a member",
        description="Their roles, tokens, paired phones and sessions here end at once. 400 "
        "`owner_role_immutable`, 403 `self_modification_denied`, 404 `member_not_found`.",
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users")
    def delete(self, request: Request, organisation_id: str, user_id: str) -> HttpResponse:
        try:
            user = User.objects.filter(pk=UUID(user_id)).first()
        except ValueError:
            user = None
        if user is None:
            raise Problem(404, "member_not_found", "There is no such member.")
        membership.remove(organisation=self.organisation, user=user, actor=self.actor)
        return HttpResponse(status=204)


class LeaveView(OrganisationRoute):
    @extend_schema(
        operation_id="organisation_leave",
        summary="Leave the organisation",
        description="The caller's own roles, tokens and sessions here end at once. The owner has "
        "to transfer ownership first: 409 `owner_cannot_leave`.",
        request=None,
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("read", "organisation")
    def post(self, request: Request, organisation_id: str) -> HttpResponse:
        membership.leave(
            organisation=self.organisation, user=self.knock.known_user, actor=self.actor
        )
        self.knock.request.session.flush()
        return HttpResponse(status=204)


def _who(body: dict[str, Any]) -> UUID | str:
    """A member's id or an address. Raises Problem 400 `invalid_user`."""
    who = body.get("userId") or body.get("email")
    if not isinstance(who, str):
        raise Problem(400, "invalid_user", "Send userId or email.")
    try:
        return UUID(who.strip())
    except ValueError:
        return member_invitations.mailbox(who)


def _changed(member: Membership) -> Response:
    return Response({"kind": "member", "member": people_json.member(member)})
