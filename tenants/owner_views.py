"""What an owner does to an organisation from the base domain, which stays open while its own host
is shut (design section 6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from audit.actors import Actor
from tenants import hosts, lifecycle
from tenants.http import bodies
from tenants.models import MemberRole, Organisation, SuspendedBy, User
from tenants.signup_gate import hosted_only

Act = Callable[[HttpRequest, Organisation, Actor], str]


def owner_act(act: Act) -> Callable[[HttpRequest, str], HttpResponse]:
    """A POST for the owner only; the text that `act` returns is shown on the list it leads to.

    Everybody else gets the 404 of a label that nobody has.
    """

    @hosted_only("POST")
    @login_required
    @wraps(act)
    def view(request: HttpRequest, label: str) -> HttpResponse:
        person = cast(User, request.user)
        organisation = hosts.organisation_at(label)
        if (
            organisation is None
            or not organisation.memberships.filter(user=person, role=MemberRole.OWNER).exists()
        ):
            raise Http404
        try:
            messages.success(request, act(request, organisation, Actor.person(person)))
        except lifecycle.TransitionRefused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect("/", status=303)

    return view


@owner_act
def suspend(request: HttpRequest, organisation: Organisation, actor: Actor) -> str:
    """/o/<label>/suspend: shuts its host and its phones off until the owner lifts it."""
    reason = bodies.one_line(request.POST.get("reason", ""), longest=1000)
    lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=actor, reason=reason)
    return f"{organisation.display_name} is suspended. Its phones are shut off and stay paired."


@owner_act
def lift(request: HttpRequest, organisation: Organisation, actor: Actor) -> str:
    """/o/<label>/lift: ends a suspension that the owner made."""
    lifecycle.unsuspend(organisation=organisation, by=SuspendedBy.OWNER, actor=actor)
    return f"{organisation.display_name} is active again. Its phones reconnect by themselves."
