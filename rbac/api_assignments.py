"""An organisation's people and their roles over HTTP (hosted-contract section 10.5)."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rbac import assignments, people_records, role_specs
from rbac.api import actor_of
from rbac.api_roles import refuse_tokens
from rbac.serializers import (
    EXAMPLE_ASSIGNMENT,
    EXAMPLE_ROLE,
    AssignmentSerializer,
    EffectivePermissionSerializer,
    PermissionSerializer,
    RoleIdsSerializer,
)
from tenants.door import TenantAPIView, requires
from tenants.http import etags, listing
from tenants.http.openapi import ETAG, IF_MATCH, SESSION_ONLY, listed
from tenants.models import Membership

_ORDERING = {"addedAt": "added_at", "email": "user__email"}


class UsersView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="listAssignments",
        summary="Everybody of the organisation, with their roles",
        parameters=listed(ordering=_ORDERING, email="Part of the address."),
        responses=AssignmentSerializer(many=True),
        examples=[OpenApiExample("A person", value=EXAMPLE_ASSIGNMENT, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request) -> Response:
        organisation = self.knock.known_organisation
        return listing.page(
            self.knock.request,
            Membership.objects.filter(organisation=organisation).select_related("user"),
            showing=lambda members: people_records.shower(organisation, members),
            ordering=_ORDERING,
            default="addedAt",
            filters={"email": "user__email__icontains"},
        )


class UserView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="getAssignment",
        summary="One person's roles",
        description="400 `invalid_username` for what can be nobody's name.",
        parameters=[ETAG],
        responses=AssignmentSerializer,
        examples=[OpenApiExample("A person", value=EXAMPLE_ASSIGNMENT, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request, username: str) -> Response:
        organisation = self.knock.known_organisation
        member = people_records.member(organisation, people_records.user_id(username))
        record = people_records.shower(organisation, [member])(member)
        # A tag of the roles alone: signing in moves `lastLoginAt` and stands in nobody's way.
        return Response(record, headers={"ETag": etags.of(sorted(record["roleIds"]))})

    @extend_schema(
        operation_id="deprovisionUser",
        summary="Take a person out of the organisation",
        description=(
            "Ends their membership, roles, sessions and API tokens here. 400 "
            "`owner_role_immutable`; 403 `self_deprovision_denied`, `escalation_denied`."
        ),
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users", capability="rbac")
    def delete(self, request: Request, username: str) -> HttpResponse:
        refuse_tokens(self.knock)
        assignments.deprovision(
            self.knock.known_organisation,
            people_records.user_id(username),
            actor=actor_of(self.knock),
        )
        return HttpResponse(status=204)


class PermissionsView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="listPermissions",
        summary="What a person's own roles say",
        responses=PermissionSerializer(many=True),
        examples=[
            OpenApiExample("Allowed", value=EXAMPLE_ROLE["permissions"][0], response_only=True)
        ],
    )
    @requires("read", "users")
    def get(self, request: Request, username: str) -> Response:
        person = people_records.user_id(username)
        people_records.member(self.knock.known_organisation, person)
        return listing.page(self.knock.request, people_records.permissions(person), dict)


class EffectiveView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="listEffectivePermissions",
        summary="What a person may do, inherited permissions included",
        description="A deny that matches beats every allow.",
        responses=EffectivePermissionSerializer(many=True),
        examples=[
            OpenApiExample(
                "Inherited",
                value={
                    "action": "read",
                    "resource": "*",
                    "effect": "allow",
                    "roleId": "viewer",
                    "inherited": True,
                },
                response_only=True,
            )
        ],
    )
    @requires("read", "users")
    def get(self, request: Request, username: str) -> Response:
        person = people_records.user_id(username)
        people_records.member(self.knock.known_organisation, person)
        return listing.page(self.knock.request, people_records.effective(person), dict)


class UserRolesView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="setRoles",
        summary="Replace a person's roles",
        description=(
            "The whole set at once; bites with the person's next request.\n\n"
            "400 `invalid_role_id`, `unknown_role`, `owner_role_immutable`, `too_many_permissions` "
            "(more than 1,000, inherited ones included); 403 `self_modification_denied`, "
            "`escalation_denied`."
        ),
        parameters=[IF_MATCH],
        request=RoleIdsSerializer,
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample("Two roles", value={"roleIds": ["viewer", "auditor"]}, request_only=True)
        ],
    )
    @requires("admin", "users", capability="rbac")
    def put(self, request: Request, username: str) -> HttpResponse:
        refuse_tokens(self.knock)
        person = people_records.user_id(username)
        body = self.body(known=frozenset({"roleIds"}))
        assignments.set_roles(
            self.knock.known_organisation,
            person,
            role_specs.role_ids(body.get("roleIds")),
            actor=actor_of(self.knock),
            expecting=self._expect,
        )
        return HttpResponse(status=204)

    @extend_schema(
        operation_id="setRolesByPost",
        summary="Replace a person's roles",
        description="The same as PUT.",
        parameters=[IF_MATCH],
        request=RoleIdsSerializer,
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample("Two roles", value={"roleIds": ["viewer", "auditor"]}, request_only=True)
        ],
    )
    @requires("admin", "users", capability="rbac")
    def post(self, request: Request, username: str) -> HttpResponse:
        return self.put(request, username)

    def _expect(self, current: list[str]) -> None:
        etags.require(self.knock.request, current)
