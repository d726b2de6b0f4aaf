"""Roles of an organisation over HTTP (hosted-contract section 10.5)."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rbac import changes, integrity, role_specs, roles
from rbac.api import actor_of
from rbac.models import Change
from rbac.serializers import (
    EXAMPLE_CHANGE,
    EXAMPLE_NEW_ROLE,
    EXAMPLE_ROLE,
    ChangedRoleSerializer,
    ChangeSerializer,
    IntegritySerializer,
    NewRoleSerializer,
    RoleSerializer,
)
from tenants.door import Knock, Refused, TenantAPIView, requires
from tenants.http import etags, listing
from tenants.http.openapi import ETAG, IF_MATCH, SESSION_ONLY, listed
from tenants.http.problems import Problem

_CHANGES = {"timestamp": "at", "action": "action"}
_CHANGE_FILTERS = {"action": "action", "entityType": "entity_type", "entityId": "entity_id"}


def refuse_tokens(knock: Knock) -> None:
    """People and roles are changed by signed-in people only (contract section 10.6, rule 5)."""
    if knock.token is not None:
        raise Refused(403, "session_required", "This takes a signed-in person, not an API token.")


class RolesView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="listRoles",
        summary="All roles, the built-in ones first",
        responses=RoleSerializer(many=True),
        examples=[OpenApiExample("A custom role", value=EXAMPLE_ROLE, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request) -> Response:
        return listing.page(self.knock.request, roles.listed(), dict)

    @extend_schema(
        operation_id="createRole",
        summary="Make a custom role",
        description=(
            "400 `invalid_role_id`, `invalid_request`, `invalid_permission`, `invalid_parent`, "
            "`parent_too_deep`, `too_many_permissions`; 403 `escalation_denied`; 409 "
            "`duplicate_id`, `too_many_roles`."
        ),
        parameters=[ETAG],
        request=NewRoleSerializer,
        responses={200: RoleSerializer, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample("A custom role", value=EXAMPLE_NEW_ROLE, request_only=True),
            OpenApiExample("As it was made", value=EXAMPLE_ROLE, response_only=True),
        ],
    )
    @requires("admin", "users", capability="rbac")
    def post(self, request: Request) -> Response:
        refuse_tokens(self.knock)
        body = self.body(known=role_specs.KNOWN)
        role_id = role_specs.role_id(body.get("id"))
        made = roles.create(
            self.knock.known_organisation,
            role_id,
            role_specs.spec(body, name=role_id),
            actor=actor_of(self.knock),
        )
        return etags.tagged(made)


class RoleView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="getRole",
        summary="One role",
        parameters=[ETAG],
        responses=RoleSerializer,
        examples=[OpenApiExample("A custom role", value=EXAMPLE_ROLE, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request, role_id: str) -> Response:
        role = roles.found(role_specs.role_id(role_id))
        return etags.tagged(roles.record_of(role))

    @extend_schema(exclude=True)
    @requires("admin", "users", capability="rbac")
    def post(self, request: Request, role_id: str) -> Response:
        """The contract's answer to making a role under an id."""
        raise Problem(400, "invalid_request", "POST to /api/admin/roles, with the id in the body.")

    @extend_schema(
        operation_id="updateRole",
        summary="Change a custom role",
        description=(
            "Replaces name, description, parent, priority and permissions together. Bites with "
            "everybody's next request.\n\n"
            "400 `invalid_request`, `invalid_permission`, `invalid_parent`, `parent_cycle`, "
            "`parent_too_deep`, `owner_role_immutable`, `too_many_permissions` (somebody would have "
            "more than 1,000, inherited ones included); 403 `self_modification_denied` for a role "
            "that the caller has, `escalation_denied`; 409 `builtin_role_immutable`."
        ),
        parameters=[ETAG, IF_MATCH],
        request=ChangedRoleSerializer,
        responses={200: RoleSerializer, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample(
                "Changed",
                value={"name": "Night shift", "permissions": EXAMPLE_ROLE["permissions"]},
                request_only=True,
            ),
            OpenApiExample("As it is now", value=EXAMPLE_ROLE, response_only=True),
        ],
    )
    @requires("admin", "users", capability="rbac")
    def put(self, request: Request, role_id: str) -> Response:
        refuse_tokens(self.knock)
        role_id = role_specs.role_id(role_id)
        body = self.body(known=role_specs.KNOWN)
        if body.get("id", role_id) != role_id:
            raise Problem(400, "invalid_request", "A role keeps its id.")
        if not isinstance(body.get("permissions"), list):
            raise Problem(400, "invalid_request", "permissions must be the whole list.")
        spec = role_specs.spec(body)
        if not spec.name:
            raise Problem(400, "invalid_request", "name is missing.")
        changed = roles.update(
            self.knock.known_organisation,
            role_id,
            spec,
            actor=actor_of(self.knock),
            expecting=self._expect,
        )
        return etags.tagged(changed)

    @extend_schema(
        operation_id="deleteRole",
        summary="Delete a custom role",
        description=(
            "Whoever has it loses it. 403 `self_modification_denied`, `escalation_denied`; 409 "
            "`builtin_role_immutable`, `role_has_children`, `role_is_mapped`."
        ),
        parameters=[IF_MATCH],
        responses={204: None, 409: None},
        extensions=SESSION_ONLY,
    )
    @requires("admin", "users", capability="rbac")
    def delete(self, request: Request, role_id: str) -> HttpResponse:
        refuse_tokens(self.knock)
        roles.delete(
            self.knock.known_organisation,
            role_specs.role_id(role_id),
            actor=actor_of(self.knock),
            expecting=self._expect,
        )
        return HttpResponse(status=204)

    def _expect(self, current: dict[str, Any]) -> None:
        etags.require(self.knock.request, current)


class IntegrityView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="checkRoles",
        summary="Whether the organisation's roles are in order",
        parameters=[
            OpenApiParameter("org_id", str, description="This organisation's id; others are 404.")
        ],
        responses={200: IntegritySerializer, 404: None},
        examples=[
            OpenApiExample(
                "In order",
                value={
                    "org_id": "4b1c6a5e-3f43-4c55-b0b0-6e1c9a0d7c11",
                    "db_accessible": True,
                    "tables_present": True,
                    "total_roles": 5,
                    "built_in_role_count": 4,
                    "total_assignments": 12,
                    "healthy": True,
                },
                response_only=True,
            )
        ],
    )
    @requires("read", "users")
    def get(self, request: Request) -> Response:
        organisation = self.knock.known_organisation
        wanted = self.knock.request.GET.get("org_id", "").strip()
        if wanted and wanted.lower() != str(organisation.pk):
            raise Problem(404, "not_found", "There is no such organisation here.")
        return Response(integrity.check(organisation))


class ChangelogView(TenantAPIView):
    by_contract = True

    @extend_schema(
        operation_id="listRoleChanges",
        summary="What changed in roles and assignments, newest first",
        description="Kept for 90 days. The audit trail also tells what was refused, and why.",
        parameters=listed(
            ordering=_CHANGES,
            action="Only this action.",
            entityType="`role` or `assignment`.",
            entityId="A role's or a person's id.",
        ),
        responses=ChangeSerializer(many=True),
        examples=[OpenApiExample("Roles given", value=EXAMPLE_CHANGE, response_only=True)],
    )
    @requires("read", "users")
    def get(self, request: Request) -> Response:
        return listing.page(
            self.knock.request,
            Change.objects.all(),
            changes.public_record,
            ordering=_CHANGES,
            default="-timestamp",
            filters=_CHANGE_FILTERS,
        )
