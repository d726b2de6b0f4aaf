"""Pages of the base domain: landing, sign-up, progress, sign-in links."""

from __future__ import annotations

import time
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from tenants import addresses, invitations, limits, links, metrics, provisioning, signup
from tenants.accounts import entry
from tenants.forms import SignupForm
from tenants.http import problems
from tenants.models import LinkPurpose, Membership, Organisation, State, StepStatus, User
from tenants.people import member_invitations
from tenants.rollout import signups
from tenants.signup_gate import hosted_only, over_limit, settle
from tenants.states import ENDED

# What people read while they wait; a step of another room without words here shows its name.
STEP_TITLES = {
    "schema": "A database of its own",
    "roles": "Roles, with you as administrator",
    "trial": "Your trial",
    "lease": "Permission to use the relay",
    "registration": "Its address at the relay",
    "active": "Ready",
}


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """What the product is, or the organisations of whoever is signed in."""
    organisations: Any = []
    invited: Any = []
    if isinstance(request.user, User):
        invited = member_invitations.of_person(request.user) if settings.HOSTED_MODE else []
        organisations = (
            Membership.objects.filter(user=request.user)
            .exclude(organisation__state__in=ENDED)
            .select_related("organisation", "organisation__removal")
            .order_by("organisation__display_name")
        )
    context = {"organisations": organisations, "invitations": invited, "now": timezone.now()}
    return render(request, "tenants/landing.html", context)


def signup_page(request: HttpRequest) -> HttpResponse:
    """GET and POST /signup: the public sign-up as a page; works without scripts."""
    if request.method == "POST" and over_limit(request):
        return render(request, "tenants/too_many.html", status=429)
    return _signup_page(request)


@hosted_only("GET", "POST")
def _signup_page(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        form = SignupForm(initial={"invitation": request.GET.get("invitation", "")[:200]})
        return _form(request, form, 200)
    form = SignupForm(request.POST)
    if not form.is_valid():
        return _form(request, form, 400)
    begun = time.monotonic()
    try:
        outcome = signup.sign_up(form.request(), address=limits.address_of(request))
    except addresses.PublicUrlMissing:
        form.add_error(None, "This server has no public address yet, so nobody can sign up.")
        return _form(request, form, 503)
    except signups.SignupsClosed:
        return metrics.decided(_form(request, form, 503))  # it says why, filled in as it was
    if outcome.effect is signup.Effect.PROVED and outcome.user is not None:
        return _enter(request, outcome.user)
    settle(begun)
    return render(request, "tenants/mailbox.html", {"email": form.cleaned_data["email"]})


@hosted_only("GET", "POST")
def verify(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button; POST proves the mailbox, signs in and has the organisation set up."""
    if request.method == "POST":
        try:
            return _enter(request, signup.prove_by_link(token))
        except links.LinkRefused:
            return _link_refused(request)
        except signups.SignupsClosed as closed:
            return metrics.decided(
                render(request, "tenants/signups_closed.html", {"closed": closed}, status=503)
            )
    link = links.peek(token, LinkPurpose.VERIFY_MAILBOX)
    if link is None or link.organisation is None or link.organisation.state != State.REQUESTED:
        return _link_refused(request)
    context = {
        "purpose": link.purpose,
        "organisation": link.organisation,
        "email": link.organisation.owner_email,
    }
    return render(request, "tenants/confirm.html", context)


@hosted_only("GET")
@login_required
def progress(request: HttpRequest) -> HttpResponse:
    """How far the newest organisation of this person is; leads on when it is ready."""
    organisation = entry.owned_by(cast(User, request.user))
    if organisation is None:
        return HttpResponseRedirect("/")
    if organisation.state not in (State.REQUESTED, State.PROVISIONING, State.FAILED):
        return HttpResponseRedirect(f"/o/{organisation.label}/")
    context = {"organisation": organisation, "steps": _steps(organisation)}
    return render(request, "tenants/progress.html", context)


@hosted_only("GET")
def status(request: HttpRequest) -> HttpResponse:
    """GET /signup/status: {state, label, organisation, url, steps: [{name, status, seconds}]}."""
    if not isinstance(request.user, User):
        return problems.response(401, "authentication_required", "Sign in first.")
    organisation = entry.owned_by(request.user)
    if organisation is None:
        return problems.response(404, "no_organisation", "You own no organisation.")
    return JsonResponse(
        {
            "state": organisation.state,
            "label": organisation.label,
            "organisation": str(organisation.pk),
            "url": addresses.of_organisation(organisation.instance_host),
            "steps": [
                {name: step[name] for name in ("name", "status", "seconds")}
                for step in _steps(organisation)
            ],
        }
    )


@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button; POST uses the link up and signs its person in on the base domain."""
    if request.method == "POST":
        try:
            link = links.consume(token, LinkPurpose.SIGN_IN)
            if link.user is None:
                raise links.LinkRefused
            printed = token.startswith(entry.PRINTED) and not settings.PRODUCTION
            return entry.sign_in(request, link.user, next=link.target, printed=printed)
        except (links.LinkRefused, entry.SignInRefused):
            return _link_refused(request)
    found = links.peek(token, LinkPurpose.SIGN_IN)
    if found is None or found.user is None:
        return _link_refused(request)
    context = {"purpose": found.purpose, "email": found.user.email}
    return render(request, "tenants/confirm.html", context)


def _form(request: HttpRequest, form: SignupForm, status_code: int) -> HttpResponse:
    context = {
        "form": form,
        "base_domain": settings.BASE_DOMAIN,
        "invitation_needed": invitations.needed(),
        "closed": signups.refusal(),
    }
    answer = render(request, "tenants/signup.html", context, status=status_code)
    if status_code == 503:
        answer["Retry-After"] = str(signups.RETRY_AFTER)
    return answer


def _enter(request: HttpRequest, user: User) -> HttpResponse:
    """A proved mailbox starts a session; staff sign in with their password all the same."""
    if user.is_staff:
        return HttpResponseRedirect("/signup/progress", status=303)
    return entry.sign_in(request, user, next="/signup/progress")


def _link_refused(request: HttpRequest) -> HttpResponse:
    """One answer for unknown, used and expired links."""
    return render(request, "tenants/link_refused.html", status=404)


def _steps(organisation: Organisation) -> list[dict[str, Any]]:
    """Every provisioning step with what became of it: done, running, failed or waiting."""
    records = {record.step: record for record in organisation.steps.all()}
    shown: list[dict[str, Any]] = []
    running = organisation.state == State.PROVISIONING
    for step in provisioning.steps():
        record = records.get(step.name)
        done = record is not None and record.status == StepStatus.DONE
        said = "done" if done else "waiting"
        if not done and running:
            said, running = "running", False
        elif record is not None and record.status == StepStatus.FAILED:
            said = "failed"
        shown.append(
            {
                "name": step.name,
                "title": STEP_TITLES.get(step.name, step.name),
                "status": said,
                "seconds": record.seconds if record else None,
            }
        )
    return shown
