"""Pages of an organisation's host: its people, open invitations, leaving, a new owner."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.actors import Actor
from tenants.accounts import recent, sso_people
from tenants.door import Knock, Refused, requires, tenant_page
from tenants.http import bodies
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, MemberRole, Membership, User
from tenants.people import giving, member_invitations, membership, ownership

PER_PAGE = 50
Act = Callable[..., str]


@require_safe
@tenant_page
@requires("read", "users")
def people(request: HttpRequest, knock: Knock) -> HttpResponse:
    return _page(request, knock)


def act(*, action: str, resource: str) -> Callable[[Act], Callable[..., HttpResponse]]:
    """A POST that ends on the list of people, with what was done or why it was not."""

    def wrap(does: Act) -> Callable[..., HttpResponse]:
        @require_POST
        @tenant_page
        @requires(action, resource)
        @wraps(does)
        def view(request: HttpRequest, knock: Knock, **named: Any) -> HttpResponse:
            try:
                messages.success(request, does(request, knock, **named))
            except Problem as problem:
                messages.error(request, problem.detail or problem.title)
            return HttpResponseRedirect("/people", status=303)

        return view

    return wrap


@require_POST
@tenant_page
@requires("admin", "users")
def invite(request: HttpRequest, knock: Knock) -> HttpResponse:
    """{email, role}. What was wrong is said in the form, with what was typed."""
    email = bodies.one_line(request.POST.get("email", ""), longest=254)
    role = request.POST.get("role", "")
    try:
        invitation = member_invitations.invite(
            organisation=knock.known_organisation,
            email=email,
            role=role,
            actor=Actor.person(knock.known_user),
            by=knock.known_user,
        )
    except Problem as problem:
        typed = {"email": email, "role": role, "error": problem.detail or problem.title}
        return _page(request, knock, typed=typed, status=problem.status)
    messages.success(
        request, f"{invitation.email} is invited as {invitation.get_role_display().lower()}."
    )
    return HttpResponseRedirect("/people", status=303)


@act(action="admin", resource="users")
def change_role(request: HttpRequest, knock: Knock, user_id: UUID) -> str:
    role = request.POST.get("role", "")
    changed = membership.change_role(
        organisation=knock.known_organisation,
        user=_person(user_id),
        role=role,
        actor=Actor.person(knock.known_user),
    )
    return f"{changed.user} is {changed.get_role_display().lower()} now."


@act(action="admin", resource="users")
def remove(request: HttpRequest, knock: Knock, user_id: UUID) -> str:
    user = _person(user_id)
    membership.remove(
        organisation=knock.known_organisation, user=user, actor=Actor.person(knock.known_user)
    )
    return f"{user} is removed and shut out."


@act(action="admin", resource="users")
def resend(request: HttpRequest, knock: Knock, invitation_id: UUID) -> str:
    invitation = _invitation(knock, invitation_id)
    member_invitations.resend(invitation=invitation, actor=Actor.person(knock.known_user))
    return f"A new link was sent to {invitation.email}; the old one no longer works."


@act(action="admin", resource="users")
def revoke(request: HttpRequest, knock: Knock, invitation_id: UUID) -> str:
    invitation = _invitation(knock, invitation_id)
    member_invitations.revoke(invitation=invitation, actor=Actor.person(knock.known_user))
    return f"The invitation of {invitation.email} is revoked."


@require_POST
@tenant_page
@requires("read", "organisation")
def leave(request: HttpRequest, knock: Knock) -> HttpResponse:
    """Ends the caller's own membership; their session here goes with it."""
    try:
        membership.leave(
            organisation=knock.known_organisation,
            user=knock.known_user,
            actor=Actor.person(knock.known_user),
        )
    except Problem as problem:
        messages.error(request, problem.detail or problem.title)
        return HttpResponseRedirect("/people", status=303)
    request.session.flush()
    return HttpResponseRedirect(f"{settings.PUBLIC_URL}/", status=303)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("admin", "users")
def transfer(request: HttpRequest, knock: Knock) -> HttpResponse:
    """Picks the new owner; asks for a recent sign-in first."""
    if knock.known_membership.role != MemberRole.OWNER:
        raise Refused(403, "owner_required", "Only the owner can transfer ownership.")
    recent.require(knock)
    organisation = knock.known_organisation
    error = ""
    if request.method == "POST":
        try:
            to = _person(_uuid(request.POST.get("user", "")))
            new = ownership.transfer_ownership(
                organisation=organisation, to=to, actor=Actor.person(knock.known_user)
            )
        except Problem as problem:
            error = problem.detail or problem.title
        else:
            messages.success(request, f"{new.user} owns {organisation.display_name} now.")
            return HttpResponseRedirect("/people", status=303)
    context = {"organisation": organisation, "people": _next_owners(knock), "error": error}
    return render(request, "tenants/transfer.html", context, status=400 if error else 200)


def _page(
    request: HttpRequest, knock: Knock, *, typed: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    organisation = knock.known_organisation
    may_change = knock.may("admin", "users")
    people = organisation.memberships.select_related("user").order_by("added_at", "pk")
    page = Paginator(people, PER_PAGE).get_page(request.GET.get("page"))
    claims = sso_people.claimed(organisation, [each.user_id for each in page])
    context = {
        "organisation": organisation,
        "me": knock.known_membership,
        "people": page,
        "rows": [(each, claims.get(each.user_id)) for each in page],
        "invitations": list(member_invitations.of_organisation(organisation)),
        "may_change": may_change,
        "givable": giving.givable(knock) if may_change else [],
        "typed": typed or {"email": "", "role": MemberRole.VIEWER.value},
        "now": timezone.now(),
    }
    return render(request, "tenants/people.html", context, status=status)


def _next_owners(knock: Knock) -> list[Membership]:
    """Members who can own: with an account of their own and a confirmed address."""
    members = knock.known_organisation.memberships.exclude(role=MemberRole.OWNER)
    members = members.filter(
        user__is_active=True, user__email__isnull=False, user__email_verified_at__isnull=False
    )
    return list(members.select_related("user").order_by("user__email")[:1000])


def _person(user_id: UUID) -> User:
    """Raises Problem 404 `member_not_found`; whether they are a member the verb says."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise Problem(404, "member_not_found", "There is no such member.")
    return user


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(400, "invalid_user", "Choose who shall be the owner.") from None


def _invitation(knock: Knock, invitation_id: UUID) -> MemberInvitation:
    found = member_invitations.of_organisation(knock.known_organisation)
    invitation = found.filter(pk=invitation_id).first()
    if invitation is None:
        raise member_invitations.not_found()
    return invitation
