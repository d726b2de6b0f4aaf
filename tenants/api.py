"""Hosted routes of the base domain: sign-up and life cycle (hosted-contract sections 2, 3, 5)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any
from uuid import UUID

import structlog
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from audit import trail
from audit.actors import Actor
from tenants import (
    addresses,
    api_examples,
    hosted_routes,
    lifecycle,
    limits,
    metrics,
    signup,
    signup_rules,
)
from tenants.accounts import recent, staff_factor
from tenants.deletion import claims
from tenants.http import bodies
from tenants.http.openapi import documented
from tenants.http.problems import Problem, contract
from tenants.models import MemberRole, Membership, Organisation, State, SuspendedBy, User
from tenants.people import member_invitations, people_json
from tenants.rollout import signups
from tenants.signup_gate import over_limit, plain, settle, too_many

log = structlog.get_logger(__name__)

ORGANISATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNIFORM_MESSAGE = (
    "If everything was right, a mail is on its way. Open its link to set up your organisation."
)
PEOPLE = 1000  # members, and invitations, that an organisation is shown with at most
# States that the contract knows; one on its way out counts as pending deletion until it is gone.
_WITH_STATUS = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION, State.PURGING)
# What is not a conflict with the organisation's state.
_STATUS_OF = {
    "suspended_by_other": 403,
    "deletion_by_other": 403,
    "invalid_retention_days": 400,
}


@hosted_routes.gated(hosted_routes.SIGNUP)
@documented(post=api_examples.SIGNUP)
@csrf_exempt
def signup_view(request: HttpRequest) -> HttpResponse:
    """POST /api/public/signup. Anonymous, no session, so no CSRF."""
    if over_limit(request):
        return too_many()
    if request.method != "POST":
        return plain(405, "Method not allowed", Allow="POST")
    if not hosted_routes.is_open():
        return hosted_routes.absent()
    try:
        wanted = signup_rules.parse(bodies.json_object(request))
    except Problem as problem:
        return contract(400, "invalid_request", problem.detail or problem.title)
    except signup_rules.InvalidSignup as invalid:
        return contract(400, invalid.code, invalid.message)
    begun = time.monotonic()
    try:
        outcome = signup.sign_up(wanted, address=limits.address_of(request))
        if outcome.effect is signup.Effect.PROVED:
            _let_in_by_mail(outcome)
    except addresses.PublicUrlMissing:
        return contract(503, "public_url_missing", "This server has no public address yet.")
    except signups.SignupsClosed as closed:
        answer = contract(503, closed.code, closed.message)
        answer["Retry-After"] = str(signups.RETRY_AFTER)
        return metrics.decided(answer)
    except Exception:
        log.exception("sign-up failed")
        return contract(500, "create_failed", "The sign-up failed on our side.")
    settle(begun)
    return JsonResponse({"message": UNIFORM_MESSAGE}, status=202)


def _let_in_by_mail(outcome: signup.Outcome) -> None:
    """The page signs in whoever proved the mailbox; who used the API gets the way in by mail."""
    user, organisation = outcome.user, outcome.organisation
    if user is not None and organisation is not None and not organisation.canary:
        signup.mail_sign_in(user)  # nobody would read a canary's


Act = Callable[[Organisation, SuspendedBy, Actor, Mapping[str, Any]], Organisation]


def lifecycle_view(act: Act, *, dangerous: bool = False) -> Callable[..., HttpResponse]:
    """POST /api/admin/orgs/<id>/…, for the owner and for platform staff (section 5.3).

    Order: authentication, method, CSRF, gate, id, organisation, permission, body, the verb's own
    checks: retention before conflicts (section 5.4). What is `dangerous` asks staff for a recent
    sign-in, as its page does: their session reaches every organisation.
    """

    def answer(request: HttpRequest, user: User, organisation_id: str) -> HttpResponse:
        organisation = _organisation(organisation_id)
        by = _standing(request, user, organisation)
        if dangerous and by == SuspendedBy.PLATFORM and not recent.is_recent(request):
            raise Problem(401, "fresh_session_required", "Confirm that it is you first.")
        body = _body(request)
        actor = Actor.person(user) if by == SuspendedBy.OWNER else Actor.staff(user)
        return JsonResponse(organisation_json(act(organisation, by, actor, body)))

    return _platform_view("POST", wraps(act)(answer))


def _platform_view(method: str, answer: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Hosted routes of the base domain for people who are signed in there: `answer(request, user,
    …)` behind authentication, method, CSRF and gate, in this order (section 2)."""
    allowed = ("GET", "HEAD") if method == "GET" else (method,)

    @csrf_exempt  # checked below, after authentication: anonymous callers get 401 first
    @wraps(answer)
    def view(request: HttpRequest, **arguments: Any) -> HttpResponse:
        user = request.user
        if not isinstance(user, User):
            return contract(401, "authentication_required", "Sign in on the base domain.")
        if request.method not in allowed:
            return plain(405, "Method not allowed", Allow=", ".join(allowed))
        if not csrf_holds(request):
            trail.record(
                action="csrf_failure",
                actor=Actor.person(user),
                success=False,
                subject=request.path,
                address=limits.address_of(request) or None,
            )
            return contract(403, "csrf_failed", "The CSRF token is missing or wrong.")
        if not hosted_routes.is_open():
            return hosted_routes.absent()
        try:
            return answer(request, user, **arguments)
        except Problem as problem:
            return contract(problem.status, problem.code, problem.title)
        except lifecycle.TransitionRefused as refused:
            return contract(_STATUS_OF.get(refused.code, 409), refused.code, str(refused))

    return view


@hosted_routes.gated(hosted_routes.SUSPEND)
@documented(post=api_examples.SUSPEND)
@partial(lifecycle_view, dangerous=True)
def suspend_view(
    organisation: Organisation, by: SuspendedBy, actor: Actor, body: Mapping[str, Any]
) -> Organisation:
    reason = bodies.text(dict(body), "reason", longest=10_000)
    return lifecycle.suspend(organisation=organisation, by=by, actor=actor, reason=reason)


@hosted_routes.gated(hosted_routes.UNSUSPEND)
@documented(post=api_examples.UNSUSPEND)
@lifecycle_view
def unsuspend_view(
    organisation: Organisation, by: SuspendedBy, actor: Actor, body: Mapping[str, Any]
) -> Organisation:
    return lifecycle.unsuspend(organisation=organisation, by=by, actor=actor)


@hosted_routes.gated(hosted_routes.SOFT_DELETE)
@documented(post=api_examples.SOFT_DELETE)
@partial(lifecycle_view, dangerous=True)
def soft_delete_view(
    organisation: Organisation, by: SuspendedBy, actor: Actor, body: Mapping[str, Any]
) -> Organisation:
    """`retention_days` is a whole number; JSON knows no other kind of 30 (`true` and `30.0` are
    none)."""
    days = body.get("retention_days")
    if days is not None and type(days) is not int:
        raise Problem(400, "invalid_request", "retention_days must be a whole number.")
    reason = bodies.text(dict(body), "reason", longest=10_000)
    return lifecycle.soft_delete(
        organisation=organisation, by=by, actor=actor, reason=reason, retention_days=days
    )


@documented(post=api_examples.RESTORE)
@lifecycle_view
def restore_view(
    organisation: Organisation, by: SuspendedBy, actor: Actor, body: Mapping[str, Any]
) -> Organisation:
    """Ours: the explicit way back from a deletion, which the contract has not (H5)."""
    reason = bodies.text(dict(body), "reason", longest=10_000)
    return lifecycle.restore(organisation=organisation, by=by, actor=actor, reason=reason)


@documented(post=api_examples.PURGE)
@lifecycle_view
def purge_view(
    organisation: Organisation, by: SuspendedBy, actor: Actor, body: Mapping[str, Any]
) -> Organisation:
    """Ours: removes a canary at once; 409 `retention_required` for every other organisation."""
    reason = bodies.text(dict(body), "reason", longest=10_000)
    try:
        return lifecycle.purge(organisation=organisation, actor=actor, reason=reason)
    except claims.Busy:
        raise Problem(409, "purge_running", "Somebody else is removing it just now.") from None
    except claims.ReapFailed:  # logged, and noted on its removal for staff
        raise Problem(
            500, "purge_failed", "Removing it failed on our side. It is tried again by itself."
        ) from None


def _hosted_organisations(request: HttpRequest, user: User) -> HttpResponse:
    """Every organisation that the contract has a status for. Each flag is true when the status says
    so or the matching time is set; the database keeps stale times out (H5)."""
    if not _as_staff(request, user, "tenants.view_organisation"):
        raise Problem(403, "access_denied", "Only platform staff may list organisations.")
    owner = Membership.objects.filter(organisation=OuterRef("pk"), role=MemberRole.OWNER)
    found = (
        Organisation.objects.filter(state__in=_WITH_STATUS)
        .annotate(owner=Subquery(owner.values("user")[:1]))
        .order_by("created_at", "pk")
        .values(
            "pk", "display_name", "owner", "created_at", "state", "suspended_at",
            "deletion_requested_at",
        )
    )  # fmt: skip
    return JsonResponse([_hosted_row(row) for row in found.iterator(2000)], safe=False)


def _hosted_row(row: Mapping[str, Any]) -> dict[str, Any]:
    status = people_json.status(row["state"])
    return {
        "org_id": str(row["pk"]),
        "display_name": row["display_name"],
        "owner_user_id": str(row["owner"]) if row["owner"] else "",
        "created_at": people_json.time(row["created_at"]),
        "suspended": status == State.SUSPENDED or row["suspended_at"] is not None,
        "soft_deleted": status == State.PENDING_DELETION
        or row["deletion_requested_at"] is not None,
    }


hosted_organisations_view = hosted_routes.gated(hosted_routes.ORGANISATIONS)(
    documented(get=api_examples.HOSTED_ORGANISATIONS)(_platform_view("GET", _hosted_organisations))
)


def organisation_json(organisation: Organisation, *, with_people: bool = True) -> dict[str, Any]:
    """hosted-contract section 5.1; fields without a value are left out, times are RFC 3339 UTC.

    Without `with_people` nobody's address is in it; with it, those of the first PEOPLE members and
    open invitations: the routes of members and invitations page through all of them.
    """
    members = organisation.memberships.order_by("added_at", "pk")
    owner = members.filter(role=MemberRole.OWNER).values_list("user", flat=True).first()
    body: dict[str, Any] = {
        "id": str(organisation.pk),
        "displayName": organisation.display_name,
        "status": people_json.status(organisation.state),
        "createdAt": people_json.time(organisation.created_at),
        "ownerUserId": str(owner) if owner else None,
        "sharedResources": [],
        "suspendedAt": people_json.time(organisation.suspended_at),
        "suspendReason": organisation.suspend_reason or None,
        "deletionRequestedAt": people_json.time(organisation.deletion_requested_at),
        "retentionDays": organisation.retention_days,
    }
    if with_people:
        invited = member_invitations.of_organisation(organisation)
        body |= {
            "ownerEmail": organisation.owner_email or None,
            "members": [
                people_json.member(each) for each in members.select_related("user")[:PEOPLE]
            ],
            "pendingInvitations": [
                people_json.invitation(each)
                for each in invited.filter(expires_at__gt=timezone.now())[:PEOPLE]
            ],
        }
    return {key: value for key, value in body.items() if value is not None}


def _organisation(organisation_id: str) -> Organisation:
    if not ORGANISATION_ID.fullmatch(organisation_id) or organisation_id in (".", ".."):
        raise Problem(400, "invalid_org_id", "This is not an organisation id.")
    try:
        found = Organisation.objects.filter(pk=UUID(organisation_id)).first()
    except ValueError:
        found = None
    if found is None or found.state in (State.EXPIRED, State.DELETED):
        raise Problem(404, "org_not_found", "There is no such organisation.")
    return found


def _standing(request: HttpRequest, user: User, organisation: Organisation) -> SuspendedBy:
    """As whom this person acts: its owner, or the platform."""
    if organisation.memberships.filter(user=user, role=MemberRole.OWNER).exists():
        return SuspendedBy.OWNER
    if _as_staff(request, user, "tenants.change_organisation"):
        return SuspendedBy.PLATFORM
    raise Problem(403, "access_denied", "Only its owner or platform staff may do this.")


def _as_staff(request: HttpRequest, user: User, permission: str) -> bool:
    """Whether this person may do it as staff. Raises Problem 403 `second_factor_required` for staff
    whose sign-in would not open the staff pages either."""
    if not (user.is_staff and user.has_perm(permission)):
        return False
    if not staff_factor.suffices(request):
        raise Problem(
            403, "second_factor_required", "Staff sign in with their second factor for this."
        )
    return True


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        return bodies.json_object(request)
    except Problem as problem:
        raise Problem(400, "invalid_request", problem.title) from None


def csrf_holds(request: HttpRequest) -> bool:
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, HttpResponse, (), {}) is None
