"""Pages of the base domain on which a person joins an organisation, declines, or leaves one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from audit.actors import Actor
from tenants import hosts, mailboxes
from tenants.accounts import entry
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, User
from tenants.people import member_invitations, membership
from tenants.signup_gate import hosted_only

Act = Callable[[User, MemberInvitation], str]


@hosted_only("GET", "POST")
def join(request: HttpRequest, token: str) -> HttpResponse:
    """/join/<token>, the mailed link. GET shows a button; POST joins, which proves the mailbox.

    Whoever is signed in as somebody else is told, and nothing happens: a link forwarded to a
    colleague must not make one person act as another.
    """
    invitation = member_invitations.find(token)
    if invitation is None:
        return render(request, "tenants/link_refused.html", status=404)
    other = _somebody_else(request, invitation)
    if request.method != "POST" or other:
        context = {"invitation": invitation, "other": other, "token": token}
        status = 403 if request.method == "POST" else 200
        return render(request, "tenants/join.html", context, status=status)
    try:
        if "decline" in request.POST:
            member_invitations.decline(invitation=invitation, actor=_whoever(request))
            return render(request, "tenants/declined.html", {"invitation": invitation})
        user, joined = member_invitations.join(token=token)
    except Problem:
        return render(request, "tenants/link_refused.html", status=404)
    messages.success(request, f"You have joined {joined.organisation.display_name}.")
    home = f"/o/{joined.organisation.label}/"
    if user.is_staff:  # they sign in with their password: a mailbox must not open staff pages
        return HttpResponseRedirect(home, status=303)
    return entry.sign_in(request, user, next=home)


def answer(does: Act) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """A POST about an invitation of the signed-in person's, from the list of organisations."""

    @hosted_only("POST")
    @login_required
    @wraps(does)
    def view(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
        person = cast(User, request.user)
        found = member_invitations.of_person(person).filter(pk=invitation_id).first()
        try:
            if found is None:
                raise Problem(404, "invitation_not_found", "That invitation is over.")
            messages.success(request, does(person, found))
        except Problem as problem:
            messages.error(request, problem.detail or problem.title)
        return HttpResponseRedirect("/", status=303)

    return view


@answer
def accept(person: User, invitation: MemberInvitation) -> str:
    member_invitations.accept(invitation=invitation, user=person, actor=Actor.person(person))
    return f"You have joined {invitation.organisation.display_name}."


@answer
def decline(person: User, invitation: MemberInvitation) -> str:
    member_invitations.decline(invitation=invitation, actor=Actor.person(person))
    return f"You have declined to join {invitation.organisation.display_name}."


@hosted_only("POST")
@login_required
def leave(request: HttpRequest, label: str) -> HttpResponse:
    """/o/<label>/leave: ends one's own membership. Strangers get the 404 of a label nobody has."""
    person = cast(User, request.user)
    organisation = hosts.organisation_at(label)
    if organisation is None or not organisation.memberships.filter(user=person).exists():
        raise Http404
    try:
        membership.leave(organisation=organisation, user=person, actor=Actor.person(person))
        messages.success(request, f"You have left {organisation.display_name}.")
    except Problem as problem:
        messages.error(request, problem.detail or problem.title)
    return HttpResponseRedirect("/", status=303)


def _somebody_else(request: HttpRequest, invitation: MemberInvitation) -> bool:
    user = request.user
    return isinstance(user, User) and not mailboxes.same(user.email, invitation.email)


def _whoever(request: HttpRequest) -> Actor:
    user = request.user
    return Actor.person(user) if isinstance(user, User) else Actor.anonymous()
