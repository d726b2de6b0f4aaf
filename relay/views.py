"""Pages of an organisation's host: whether phones reach it, and pairing one."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from billing.models import BillingState, Subscription
from rbac import mobile, tokens
from rbac.api import UNUSED_FOR, actor_of
from relay import onboarding
from relay.device_views import phones_seen_by
from relay.models import Registration
from relay.status import seen
from tenants.door import Knock, requires, tenant_page
from tenants.http import bodies

SHOWN_PHONES = 5
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@require_safe
@tenant_page
@requires("read", "organisation")
def organisation_page(request: HttpRequest, knock: Knock) -> HttpResponse:
    """The first page: is it reachable, and from which phones, of those that the person may see."""
    organisation = knock.known_organisation
    phones = phones_seen_by(knock)
    billing = BillingState.objects.filter(organisation=organisation).first()
    on_trial = billing is not None and billing.subscription_state == Subscription.TRIAL
    context = {
        "organisation": organisation,
        "membership": knock.membership,
        "trial_ends_at": billing.trial_ends_at if billing and on_trial else None,
        "devices": phones[:SHOWN_PHONES],
        "device_count": phones.count(),
        "may_pair": knock.may("write", "settings"),
        "relay": seen(organisation),
        "registration": Registration.objects.filter(organisation=organisation).first(),
    }
    return render(request, "relay/organisation.html", context)


@require_POST
@tenant_page
@requires("write", "settings", capability="relay")
def pair(request: HttpRequest, knock: Knock) -> HttpResponse:
    """Mints the clicker's own token for a phone and shows its code, this once.

    A POST, so that no link, preview or back button mints one; unused for 10 minutes it dies. When
    a phone could not pair now, no token is left behind.
    """
    organisation, user = knock.known_organisation, knock.known_user
    name = bodies.one_line(request.POST.get("name", ""), longest=120) or f"Phone of {user}"[:120]
    actor = actor_of(knock)
    device, secret = tokens.issue(
        organisation,
        user=user,
        name=name,
        scopes=[mobile.SCOPE],
        purpose=mobile.PURPOSE,
        unused_for=UNUSED_FOR,
        actor=actor,
    )
    try:
        ready = onboarding.prepare(organisation, token=secret)
    except onboarding.NotReady as not_ready:
        tokens.revoke(organisation, device.pk, actor=actor, reason="onboarding is not ready")
        for diagnostic in not_ready.diagnostics:
            if diagnostic.severity == onboarding.ERROR:
                messages.error(request, diagnostic.message)
        return HttpResponseRedirect("/")
    link = ready.pairing.link()
    context = {
        "organisation": organisation,
        "device": device,
        "deep_link": link,
        "qr": onboarding.svg(link).decode(),
        "registration": Registration.objects.get(organisation=organisation),
        "diagnostics": ready.diagnostics,
        "loopback": urlsplit(ready.pairing.relay_url).hostname in _LOOPBACK,
    }
    answer = render(request, "relay/pair.html", context)
    answer["Cache-Control"] = "no-store"
    return answer
