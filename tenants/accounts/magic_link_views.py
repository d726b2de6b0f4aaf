"""Signing in by mail: routes 7 and 8 of hosted-contract section 2, and the page that asks.

The link in the mail leads to /api/public/magic-link/verify?token=…: GET shows a button, POST uses
it up, because mail scanners follow links. Programs that accept JSON get JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from audit import trail
from audit.actors import Actor
from tenants import addresses, api_examples, hosted_routes, limits, links, signup_rules
from tenants.accounts import entry, magic_links
from tenants.http import bodies
from tenants.http.openapi import documented
from tenants.http.problems import Problem, contract
from tenants.signup_gate import hosted_only, plain, settle

View = Callable[[HttpRequest], HttpResponse]
BODY_LIMIT = 16 * 1024
REQUESTS_PER_MINUTE, VERIFIES_PER_MINUTE = 20, 30  # per address, hosted-contract section 8.4
MESSAGE = "If this address has an account, a sign-in link is on its way to it."


def limited(scope: str, limit: int) -> Callable[[View], View]:
    """429 as plain text before anything else; each page and API of one scope counts together."""

    def wrap(view: View) -> View:
        @wraps(view)
        def counted(request: HttpRequest) -> HttpResponse:
            address = limits.address_of(request)
            if limits.allow(scope, address, limit=limit, seconds=60):
                return view(request)
            return plain(429, "Too many requests. Try again in a minute.", **{"Retry-After": "60"})

        return counted

    return wrap


@hosted_routes.gated(hosted_routes.MAGIC_LINK)
@documented(post=api_examples.MAGIC_LINK)
@csrf_exempt  # anonymous and without effect on this browser
@limited("magic-link-request", REQUESTS_PER_MINUTE)
@hosted_only("POST")
def request_view(request: HttpRequest) -> HttpResponse:
    """POST /api/public/magic-link/request {email}: the same 200 whatever it led to."""
    try:
        email = signup_rules.clean_email(bodies.json_object(request, limit=BODY_LIMIT).get("email"))
    except Problem as problem:
        return contract(400, "invalid_request", problem.detail or problem.title)
    except signup_rules.InvalidSignup as invalid:
        return contract(400, invalid.code, invalid.message)
    begun = time.monotonic()
    try:
        magic_links.request(email=email, address=limits.address_of(request))
    except addresses.PublicUrlMissing:
        return contract(503, "magic_links_unavailable", "This server has no public address yet.")
    settle(begun)
    return JsonResponse({"success": True, "message": MESSAGE})


class MailForm(forms.Form):
    """Which mailbox."""

    email = forms.CharField(
        label="Email address",
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
    )

    def clean_email(self) -> str:
        try:
            return signup_rules.clean_email(self.cleaned_data["email"])
        except signup_rules.InvalidSignup as invalid:
            raise forms.ValidationError(invalid.message, code=invalid.code) from None


@hosted_only("GET", "POST")
def page(request: HttpRequest) -> HttpResponse:
    """/accounts/magic-link/?next=<path>: asks for the mailbox and mails the link."""
    target = entry.local_path(request.POST.get("next") or request.GET.get("next") or "/")
    form = MailForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"form": form, "next": target}
    if request.method != "POST":
        return render(request, "account/magic_link.html", context)
    address = limits.address_of(request)
    if not limits.allow("magic-link-request", address, limit=REQUESTS_PER_MINUTE, seconds=60):
        return render(request, "account/too_many.html", status=429)
    if not form.is_valid():
        return render(request, "account/magic_link.html", context, status=400)
    begun = time.monotonic()
    email = form.cleaned_data["email"]
    try:
        magic_links.request(email=email, target=target, address=address)
    except addresses.PublicUrlMissing:
        form.add_error(None, "This server has no public address yet, so it can mail no link.")
        return render(request, "account/magic_link.html", context, status=503)
    settle(begun)
    return render(request, "account/magic_link_sent.html", {"email": email})


@hosted_routes.gated(hosted_routes.MAGIC_LINK_VERIFY)
@documented(get=api_examples.MAGIC_LINK_LOOK, post=api_examples.MAGIC_LINK_USE)
@csrf_exempt  # checked below: by token in a browser, by origin for a program
@limited("magic-link-verify", VERIFIES_PER_MINUTE)
@hosted_only("GET", "POST")
def verify_view(request: HttpRequest) -> HttpResponse:
    """GET and POST /api/public/magic-link/verify?token=…"""
    token = request.GET.get("token", "")
    if request.method == "POST":
        return _use(request, token)
    user = magic_links.peek(token)
    if user is None:
        return _invalid(request)
    if _wants_json(request):
        return JsonResponse({"confirm": "POST", "email": user.email})
    return render(request, "tenants/confirm.html", {"purpose": "sign_in", "email": user.email})


def _use(request: HttpRequest, token: str) -> HttpResponse:
    as_json = _wants_json(request)
    refusal = _other_origin(request) if as_json else _csrf_failure(request)
    if refusal is not None:
        return refusal
    try:
        entrance = magic_links.consume(token)
    except links.LinkRefused:
        return _invalid(request)
    if not as_json:
        return entry.sign_in(request, entrance.user, next=entrance.target)
    organisation = entrance.organisation
    if entrance.shut:
        trail.record(
            action="sign_in_failed",
            actor=Actor.person(entrance.user),
            organisation=organisation.pk if organisation else None,
            reason="org_suspended",
            success=False,
            path=request.path,
            address=limits.address_of(request) or None,
        )
        return contract(403, "org_suspended", "This organisation is suspended.")
    entry.sign_in(request, entrance.user)
    if not request.user.is_authenticated:
        on = addresses.on_base("/accounts/2fa/authenticate/")
        message = "Go on with a code of your authenticator app."
        return contract(403, "second_factor_required", message, location=on)
    return JsonResponse(
        {
            "success": True,
            "org_id": str(organisation.pk) if organisation else None,
            "user_id": str(entrance.user.pk),
            "email": entrance.user.email,
        }
    )


def _invalid(request: HttpRequest) -> HttpResponse:
    """One answer for missing, unknown, used and expired links."""
    if _wants_json(request):
        return contract(400, "invalid_magic_link", "This link is unknown, used or too old.")
    return HttpResponseRedirect(f"{settings.LOGIN_URL}?error=magic_link_invalid", status=303)


def _wants_json(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    return request.GET.get("format") == "json" or (
        "application/json" in accepted and "text/html" not in accepted
    )


def _other_origin(request: HttpRequest) -> HttpResponse | None:
    """Programs send no Origin; a browser tells which site's page sent the request, and another
    site's page must not sign a visitor in as somebody else."""
    public = urlsplit(settings.PUBLIC_URL)
    if request.headers.get("Origin") in (None, f"{public.scheme}://{public.netloc}"):
        return None
    return contract(403, "csrf_failed", "This came from a page of another site.")


def _csrf_failure(request: HttpRequest) -> HttpResponse | None:
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, HttpResponse, (), {})
