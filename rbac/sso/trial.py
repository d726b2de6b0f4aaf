"""Testing the settings: an administrator signs in at the provider, and sees what it claims, whether
that would be let in, and with which roles. Nobody is signed in and nothing is written.

    POST /sso/settings/<id>/test          goes to the provider
    GET  /sso/settings/<id>/test          the form; ?groups=… tries names without the provider
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from audit import trail
from audit.actors import Actor
from rbac.models import Role
from rbac.sso import browsers, claims, flow, mapping, providers
from rbac.sso.refusals import SsoRefused
from tenants import limits
from tenants.door import Knock, Refused, requires, tenant_page
from tenants.models import SsoProvider

TESTS_PER_MINUTE: Final = 20
_LONGEST: Final = 4000


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("admin", "users", capability="sso")
def page(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    """The form, or a test that begins."""
    provider = known(knock, slug)
    if request.method == "POST":
        return _begin(request, knock, provider)
    return render(request, "sso/test.html", _dry(request, provider))


def show(request: HttpRequest, *, answer: flow.Answer) -> HttpResponse:
    """What came back to a test; only to who began it, and only while they may still do so."""
    result: HttpResponse = _result(request, answer=answer)
    return result


@tenant_page
@requires("admin", "users", capability="sso")
def _result(request: HttpRequest, knock: Knock, *, answer: flow.Answer) -> HttpResponse:
    if knock.known_user.pk != answer.test_by:
        raise Refused(403, "forbidden", "This test was begun by somebody else.")
    mapped = mapping.of(answer.provider)
    verdict = _verdict(answer.provider, answer.claimed, mapped)
    context = {
        "provider": answer.provider,
        "claimed": answer.claimed,
        "subject": answer.subject,
        "issuer": answer.issuer,
        "claims": json.dumps(answer.claims, indent=2, sort_keys=True, ensure_ascii=False)[:20000],
        **verdict,
    }
    trail.record(
        action="sso_provider_test",
        actor=Actor.person(knock.known_user),
        organisation=knock.known_organisation.pk,
        subject=f"provider {answer.provider.slug}",
        success=verdict["refused"] is None,
        after={"subject": answer.subject, "roles": verdict["role_ids"]},
    )
    return render(request, "sso/test_result.html", context)


def known(knock: Knock, slug: str) -> SsoProvider:
    """The organisation's provider. Raises Refused 404."""
    provider = providers.find(knock.known_organisation, slug)
    if provider is None:
        raise Refused(404, "not_found", "There is no such provider.")
    return provider


def _begin(request: HttpRequest, knock: Knock, provider: SsoProvider) -> HttpResponse:
    user = knock.known_user
    browser = browsers.of(request) or browsers.new()
    try:
        if not limits.allow("sso-test", str(user.pk), limit=TESTS_PER_MINUTE, seconds=60):
            raise SsoRefused("too_many_requests")
        address = flow.start(knock.known_organisation, provider, browser=browser, test_by=user.pk)
    except SsoRefused as refused:
        context = {**_dry(request, provider), "failure": refused}
        return render(request, "sso/test.html", context, status=refused.reason.status)
    return browsers.onward(request, address, provider, browser)


def _dry(request: HttpRequest, provider: SsoProvider) -> dict[str, Any]:
    """The page's context; with `?groups=` what these names alone would give."""
    asked = request.GET.get("groups")
    context: dict[str, Any] = {"provider": provider, "asked": asked}
    if asked is None:
        return context
    # One name a line, so that names with blanks and commas can be tried as they stand in a list.
    lines = [line.strip() for line in asked[:_LONGEST].splitlines() if line.strip()]
    mapped = mapping.of(provider)
    roles = claims.roles_for(lines, mapped)
    found = [(line, mapped.get(claims.folded(line), "")) for line in lines]
    return {**context, "found": found, "mapped": mapped, "roles": _named(roles)}


def _verdict(
    provider: SsoProvider, claimed: claims.Claimed, mapped: Mapping[str, str]
) -> dict[str, Any]:
    refused: SsoRefused | None = None
    try:
        claims.check(provider, claimed, mapped=bool(mapped))
    except SsoRefused as why:
        refused = why
    roles = [] if refused else claims.roles_for(claimed.groups or (), mapped)
    groups = [(g, mapped.get(claims.folded(g), "")) for g in claimed.groups or ()]
    return {
        "refused": refused,
        "mapped": mapped,
        "role_ids": roles,
        "roles": _named(roles),
        "groups": groups,
    }


def _named(role_ids: list[str]) -> list[str]:
    names = dict(Role.objects.filter(pk__in=role_ids).values_list("pk", "name"))
    return [names.get(role, role) for role in role_ids]
