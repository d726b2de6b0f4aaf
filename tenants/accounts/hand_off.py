"""From the base domain to an organisation's host: a 60 s single-use token, carried by a form.

Each host has its own sessions (design section 4, rule 8), so the base domain mints a token for one
person and one organisation, and the browser posts it to the organisation's host. In a form it
stands in no address, log or history. The receiving side takes it only from a page of the base
domain: otherwise anybody could sign a visitor in as somebody else.

Signing out is one act for the person: on either kind of host it ends the session on the base
domain and those that it handed over.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from audit import trail
from audit.actors import Actor
from tenants import addresses, hosts, limits, links
from tenants.accounts import entry, recent, sessions, sso_people
from tenants.models import LinkPurpose, Organisation, State, User
from tenants.signup_gate import hosted_only

LIFE = timedelta(seconds=60)
_LONGEST_PATH = 200  # what a link's target has room for


@hosted_only("GET", "POST")
@login_required
def open_organisation(request: HttpRequest, label: str) -> HttpResponse:
    """/o/<label>/?to=<path> on the base domain: hands over to a page of the organisation's host.

    Strangers get the same 404 as for a label nobody has.
    """
    person = cast(User, request.user)
    organisation = hosts.organisation_at(label)
    if organisation is None or not organisation.memberships.filter(user=person).exists():
        raise Http404
    if organisation.state == State.PROVISIONING:
        return HttpResponseRedirect("/signup/progress")
    if organisation.state != State.ACTIVE:
        return _closed(request, organisation)
    if sso_people.must_use_sso(organisation, person):
        return _by_sso_only(request, organisation)
    to = entry.local_path(request.POST.get("to") or request.GET.get("to") or "/")
    context: dict[str, Any] = {"organisation": organisation, "to": to}
    if request.method != "POST":
        return render(request, "tenants/open.html", context)
    context["token"] = links.mint(
        purpose=LinkPurpose.HAND_OFF,
        user=person,
        organisation=organisation,
        target=_carried(request, to),
        life=LIFE,
    )
    context["action"] = addresses.of_organisation(organisation.instance_host, "/hand-off")
    answer = render(request, "tenants/hand_off.html", context)
    # With the site's `same-origin` a browser would send `Origin: null` to the other host.
    answer["Referrer-Policy"] = "strict-origin"
    return answer


@csrf_exempt  # the visitor has no session here yet; Origin and the token stand in for it
@hosted_only("POST")
def receive(request: HttpRequest) -> HttpResponse:
    """/hand-off on the organisation's host: uses the token up and starts its session."""
    if request.headers.get("Origin") != _origin():
        return _refused(request)
    try:
        link = links.consume(request.POST.get("token", ""), LinkPurpose.HAND_OFF)
        here = getattr(request, "organisation", None)
        if link.user is None or link.organisation is None or link.organisation != here:
            raise links.LinkRefused
        if link.organisation.state != State.ACTIVE:  # it may have changed since the token was made
            raise links.LinkRefused
        if not link.organisation.memberships.filter(user=link.user).exists():
            raise links.LinkRefused
        if sso_people.must_use_sso(link.organisation, link.user):
            raise links.LinkRefused
        entry.start_session(request, link.user)
    except (links.LinkRefused, entry.SignInRefused):
        return _refused(request)
    trail.record(
        action="sso_break_glass" if link.organisation.sso_required else "org_entered",
        actor=Actor.person(link.user),
        organisation=link.organisation.pk,
        subject=f"organisation {link.organisation.label}",
        address=limits.address_of(request) or None,
    )
    carried = json.loads(link.target)
    request.session[sessions.BASE_KEY] = carried["session"]
    # Being handed over proves nothing anew: what counts is when the base domain was told last.
    recent.note(request, carried["at"])
    return HttpResponseRedirect(carried["to"], status=303)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """/sign-out on an organisation's host. Ends the session on the base domain too; who came by
    single sign-on has none there."""
    by_sso = sso_people.came_by_sso(request)
    sessions.end_one(str(request.session.get(sessions.BASE_KEY, "")))
    logout(request)
    target = sso_people.SIGN_IN if by_sso else f"{settings.PUBLIC_URL}/"
    return HttpResponseRedirect(target, status=303)


@receiver(user_logged_out)
def end_handed_over(user: User | None, **_: Any) -> None:
    """Sessions on organisations' hosts go with the one that handed them over. Those of the
    person's other browsers go too: theirs hand over again without being asked twice."""
    if user is not None:
        sessions.end_on_organisations(user.pk)


def _carried(request: HttpRequest, to: str) -> str:
    """What goes with the token: {session, at, to}; which session handed over, when its person
    last proved who they are (Unix time), and where on the other host they want to go."""
    return json.dumps(
        {
            "session": sessions.reference(request.session.session_key),
            "at": recent.signed_in_at(request) or 0,
            "to": to if len(json.dumps(to)) <= _LONGEST_PATH else "/",
        }
    )


def _closed(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    suspended = organisation.state in (State.SUSPENDED, State.PENDING_DELETION)
    context = {
        "status": 403,
        "code": "org_suspended" if suspended else "org_not_ready",
        "organisation": organisation,
        "now": timezone.now(),
    }
    return render(request, "tenants/refused.html", context, status=403)


def _by_sso_only(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    address = addresses.of_organisation(organisation.instance_host, sso_people.SIGN_IN)
    context = {"organisation": organisation, "address": address}
    return render(request, "sso/required.html", context, status=403)


def _origin() -> str:
    public = urlsplit(addresses.base())
    return f"{public.scheme}://{public.netloc}"


def _refused(request: HttpRequest) -> HttpResponse:
    """Back to where a new hand-off is made; the same for every reason."""
    label = getattr(request, "organisation_label", None) or ""
    return HttpResponseRedirect(f"{settings.PUBLIC_URL}/o/{label}/", status=303)
