"""The sign-in pages of an organisation's host; the one thing here that strangers may see (design 2).

GET  /sso/                   the ways in, while there is one; else as for an unknown label
POST /sso/<id>/login         a page that goes on to the provider
GET  /sso/<id>/callback      back from it
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_POST, require_safe

from audit import trail
from audit.actors import Actor
from rbac.sso import browsers, claims, flow, providers, signin, trial
from rbac.sso.refusals import SsoRefused
from tenants import door, limits
from tenants.accounts import sso_people
from tenants.models import Organisation, State

PER_MINUTE: Final = 30  # starts, and returns, of one address
PER_MINUTE_TOGETHER: Final = 120  # both, of one organisation
_SHOWN_IN: Final = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION)


@require_safe
def start_page(request: HttpRequest) -> HttpResponse:
    """The ways to sign in. `?again=1` asks the provider to have the person sign in anew."""
    if (closed := _closed(request)) is not None:
        return closed
    organisation = _organisation(request)
    context = {
        "host": organisation.instance_host,
        "providers": [p for p in providers.listed(organisation) if p.enabled],
        "again": request.GET.get("again") == "1",
        "owner_address": f"{settings.PUBLIC_URL}/o/{organisation.label}/",
    }
    return _answer(render(request, "sso/start.html", context))


@require_POST
def login(request: HttpRequest, slug: str) -> HttpResponse:
    """Sends the browser on by a page, not by a redirect: browsers hold redirects that follow a form
    against our policy of where forms may lead, and providers redirect on as they please."""
    if (closed := _closed(request)) is not None:
        return closed
    organisation = _organisation(request)
    provider = providers.find(organisation, slug)
    browser = browsers.of(request) or browsers.new()
    try:
        _count(request, "sso-start", organisation)
        if provider is None or not provider.enabled:
            raise SsoRefused("provider_not_found")
        address = flow.start(
            organisation,
            provider,
            browser=browser,
            prove_again=request.POST.get("again") == "1",
        )
    except SsoRefused as refused:
        return _failed(request, refused, slug, action="sso_oidc_login_initiated")
    trail.record(
        action="sso_oidc_login_initiated",
        actor=Actor.anonymous(),
        organisation=organisation.pk,
        subject=f"provider {provider.slug}",
        path=request.path,
        address=limits.address_of(request) or None,
    )
    return browsers.onward(request, address, provider, browser)


@require_safe
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    """Signs in, or says why not; shows what was claimed when an administrator tests the settings."""
    if (closed := _closed(request, returning=True)) is not None:
        return closed
    organisation = _organisation(request)
    try:
        _count(request, "sso-return", organisation)
        answer = flow.finish(organisation, slug, request.GET.dict(), browser=browsers.of(request))
        if answer.test_by is not None:
            return trial.show(request, answer=answer)
        arrival = signin.Arrival(
            organisation, answer.provider, answer.issuer, answer.subject, answer.claimed
        )
        try:
            mapped = signin.mapped(organisation, answer.provider)
            claims.check(answer.provider, answer.claimed, mapped=mapped)
        except SsoRefused as refused:
            signin.shut_out(arrival, refused)
            raise
        try:
            identity = signin.admit(arrival)
        except SsoRefused as refused:
            if refused.code == "too_many_permissions":
                signin.shut_out(arrival, refused)
            raise
    except SsoRefused as refused:
        return _failed(request, refused, slug, action="sso_oidc_login")
    signin.start_session(request, identity, answer.provider, answer.claims)
    done = HttpResponseRedirect("/", status=303)
    done.set_cookie(
        sso_people.HINT_COOKIE,
        "1",
        max_age=365 * 24 * 3600,
        httponly=True,
        secure=settings.SECURE_HTTPS,
        samesite="Lax",
    )
    return _answer(done)


def _organisation(request: HttpRequest) -> Organisation:
    organisation = getattr(request, "organisation", None)
    assert isinstance(organisation, Organisation)  # noqa: S101  `_closed` saw it
    return organisation


def _closed(request: HttpRequest, *, returning: bool = False) -> HttpResponse | None:
    """The answer where these pages are shut; None where they are open.

    Without single sign-on the organisation does not show, and an unknown label answers the same:
    the way to the base domain's sign-in. With it, what the organisation's state or plan forbids is
    told, and nobody is sent to a provider (hosted-contract section 11.4). A member who tests a
    provider before it is switched on comes back as well.
    """
    organisation = getattr(request, "organisation", None)
    if not settings.HOSTED_MODE:
        return _answer(door.plain_not_found())
    on = organisation is not None and organisation.state in _SHOWN_IN
    if organisation is None or not on or not sso_people.is_on(organisation):
        # Asked for first: whether the session was looked at shows in the answer's Vary header.
        signed_in = returning and request.user.is_authenticated
        tests_it = signed_in and organisation is not None and _is_member(request, organisation)
        if not tests_it:
            label = getattr(request, "organisation_label", None) or ""
            return _answer(HttpResponseRedirect(f"{settings.PUBLIC_URL}/o/{label}/"))
    try:
        door.check_organisation(request, capability="sso")
    except door.Refused as refused:
        code = "org_suspended" if refused.code == "org_suspended" else "provider_not_found"
        slug = request.resolver_match.kwargs.get("slug", "") if request.resolver_match else ""
        return _failed(request, SsoRefused(code, refused.code), slug, action="sso_oidc_login")
    return None


def _is_member(request: HttpRequest, organisation: Organisation) -> bool:
    return organisation.memberships.filter(user=request.user.pk).exists()


def _count(request: HttpRequest, scope: str, organisation: Organisation) -> None:
    if not limits.allow(scope, limits.address_of(request), limit=PER_MINUTE, seconds=60):
        raise SsoRefused("too_many_requests")
    # Each may wait for the organisation's provider, and the threads are everybody's.
    together = PER_MINUTE_TOGETHER
    if not limits.allow("sso-together", str(organisation.pk), limit=together, seconds=60):
        raise SsoRefused("too_many_requests")


def _failed(request: HttpRequest, refused: SsoRefused, slug: str, *, action: str) -> HttpResponse:
    """Says why, and notes it; who is over the limit is not noted, or the trail would be flooded."""
    organisation = _organisation(request)
    reason = refused.reason
    if refused.code != "too_many_requests" and request.method != "HEAD":
        trail.record(
            action=action,
            actor=Actor.anonymous(),
            organisation=organisation.pk,
            subject=f"provider {slug}" if slug else "single sign-on",
            success=False,
            path=request.path,
            reason=refused.code,
            after={"detail": refused.detail} if refused.detail else None,
            address=limits.address_of(request) or None,
        )
    context = {
        "code": refused.code,
        "reason": reason,
        "owner_address": f"{settings.PUBLIC_URL}/o/{organisation.label}/",
    }
    answer = render(request, "sso/failed.html", context, status=reason.status)
    if refused.code == "too_many_requests":
        answer["Retry-After"] = "60"
    return _answer(answer)


def _answer(answer: HttpResponse) -> HttpResponse:
    add_never_cache_headers(answer)
    return answer
