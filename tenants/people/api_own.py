"""A person's own organisations and invitations, on the base domain (hosted-contract section 9.2).

Each answer is about the caller alone: who else belongs to an organisation stands on its own host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiExample, extend_schema

from audit import trail
from audit.actors import Actor
from tenants import limits
from tenants.api import csrf_holds
from tenants.http.openapi import documented
from tenants.http.problems import Problem, contract
from tenants.models import MemberInvitation, Membership, User
from tenants.people import member_invitations, people_json
from tenants.serializers import (
    EXAMPLE_OWN_INVITATION,
    EXAMPLE_OWN_ORGANISATION,
    OwnInvitationSerializer,
    OwnOrganisationSerializer,
)
from tenants.signup_gate import hosted_only
from tenants.states import ENDED

View = Callable[..., HttpResponse]


def for_person(*methods: str) -> Callable[[View], View]:
    """`view(request, user, …)` for whoever is signed in here: method, gate, sign-in, CSRF."""

    def wrap(view: View) -> View:
        @csrf_exempt  # checked below, after authentication: anonymous callers get 401 first
        @hosted_only(*methods)
        @wraps(view)
        def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            answer = _answer(view, request, *args, **kwargs)
            add_never_cache_headers(answer)
            return answer

        return asked

    return wrap


def _answer(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    user = request.user
    if not isinstance(user, User):
        return contract(401, "authentication_required", "Sign in on the base domain.")
    if request.method not in ("GET", "HEAD") and not csrf_holds(request):
        trail.record(
            action="csrf_failure",
            actor=Actor.person(user),
            subject=request.path,
            success=False,
            address=limits.address_of(request) or None,
        )
        return contract(403, "csrf_failed", "The CSRF token is missing or wrong.")
    try:
        return view(request, user, *args, **kwargs)
    except Problem as problem:
        return contract(problem.status, problem.code, problem.detail or problem.title)


@documented(
    get=extend_schema(
        operation_id="own_organisations_list",
        summary="Your organisations",
        responses={200: OwnOrganisationSerializer(many=True)},
        examples=[OpenApiExample("Acme", value=EXAMPLE_OWN_ORGANISATION, response_only=True)],
    )
)
@for_person("GET")
def organisations(request: HttpRequest, user: User) -> HttpResponse:
    """GET /api/orgs: the caller's organisations, by name."""
    mine = Membership.objects.filter(user=user).exclude(organisation__state__in=ENDED)
    mine = mine.select_related("organisation").order_by("organisation__display_name", "pk")
    return JsonResponse([people_json.own_organisation(each) for each in mine], safe=False)


@documented(
    get=extend_schema(
        operation_id="own_invitations_list",
        summary="Invitations to you",
        description="Those to the confirmed email address of your account.",
        responses={200: OwnInvitationSerializer(many=True)},
        examples=[OpenApiExample("To Acme", value=EXAMPLE_OWN_INVITATION, response_only=True)],
    )
)
@for_person("GET")
def invitations(request: HttpRequest, user: User) -> HttpResponse:
    """GET /api/org-invitations."""
    mine = member_invitations.of_person(user)
    return JsonResponse([people_json.own_invitation(each) for each in mine], safe=False)


@documented(
    post=extend_schema(
        operation_id="own_invitation_accept",
        summary="Join the organisation",
        description="404 `invitation_not_found`: none, or it is over. 403 `mailbox_not_proved`.",
        request=None,
        responses={200: OwnOrganisationSerializer, 403: None, 404: None, 409: None},
        examples=[OpenApiExample("Joined", value=EXAMPLE_OWN_ORGANISATION, response_only=True)],
    )
)
@for_person("POST")
def accept(request: HttpRequest, user: User, organisation_id: str) -> HttpResponse:
    """POST /api/org-invitations/<orgId>/accept."""
    joined = member_invitations.accept(
        invitation=_mine(user, organisation_id), user=user, actor=Actor.person(user)
    )
    return JsonResponse(people_json.own_organisation(joined))


@documented(
    delete=extend_schema(
        operation_id="own_invitation_decline",
        summary="Decline an invitation",
        description="404 `invitation_not_found`.",
        responses={204: None, 403: None, 404: None},
    )
)
@for_person("DELETE")
def decline(request: HttpRequest, user: User, organisation_id: str) -> HttpResponse:
    """DELETE /api/org-invitations/<orgId>."""
    member_invitations.decline(invitation=_mine(user, organisation_id), actor=Actor.person(user))
    return HttpResponse(status=204)


def _mine(user: User, organisation_id: str) -> MemberInvitation:
    if user.email_verified_at is None:
        raise member_invitations.mailbox_not_proved()
    for each in member_invitations.of_person(user):
        if str(each.organisation_id) == organisation_id.lower():
            return each
    raise member_invitations.not_found()
