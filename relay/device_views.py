"""The page of paired phones: whose they are, when they were seen, another name, and removal."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from rbac import mobile, token_owners, token_pages, tokens
from rbac.models import ApiToken
from tenants.door import Knock, requires, tenant_page
from tenants.http.problems import Problem


@dataclass(frozen=True)
class Phone:
    device: ApiToken
    person: str
    mine: bool


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("read", "settings", capability="relay")
def devices(request: HttpRequest, knock: Knock) -> HttpResponse:
    """GET lists; POST {token} shuts that phone out at once, {token, what: rename, name} renames it."""
    if request.method == "POST":
        token_pages.by_session(knock)
        return _change(request, knock)
    seen = list(phones_seen_by(knock))
    people = token_pages.people_of(seen)
    context = {
        "organisation": knock.known_organisation,
        "phones": [
            Phone(
                device,
                str(people.get(device.user, "somebody who left")),
                device.user == knock.known_user.pk,
            )
            for device in seen
        ],
        "everybodys": token_owners.administers(knock),
        "may_pair": knock.may("write", "settings"),
    }
    return render(request, "relay/devices.html", context)


def phones_seen_by(knock: Knock) -> QuerySet[ApiToken]:
    """The person's own, or everybody's for who administers people; living ones, newest first."""
    mine = None if token_owners.administers(knock) else knock.known_user.pk
    rows = tokens.living(purpose=mobile.PURPOSE, user=mine)
    return rows.order_by("-created_at", "pk")


def _change(request: HttpRequest, knock: Knock) -> HttpResponse:
    try:
        device = token_owners.reachable(knock, UUID(request.POST.get("token", "")), device=True)
        if device.revoked_at is not None:
            raise ValueError("removed already")
        token_pages.changed(request, knock, device)
    except (ValueError, Problem):
        messages.error(request, "That phone is not paired any more.")
    return HttpResponseRedirect("/devices")
