"""A person's account: what there is to it, and where they are signed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, cast

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from tenants.accounts import events, sessions
from tenants.models import Organisation, Session, User
from tenants.states import ENDED

# First match wins: most browsers also name the ones they descend from.
_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrome/", "Chrome"),
    ("Safari/", "Safari"), ("curl/", "curl"), ("python", "a Python program"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True)
class SignedIn:
    """One row of the list. `here` is this very browser on the base domain; `within` are the hosts
    of organisations that it led to."""

    row: Session
    browser: str
    here: bool
    within: tuple[Session, ...]

    @property
    def hosts(self) -> list[str]:
        return sorted({session.host for session in self.within})


@login_required
@require_http_methods(["GET", "HEAD"])
def overview(request: HttpRequest) -> HttpResponse:
    """/accounts/"""
    person = cast(User, request.user)
    factors = {each.type: each for each in Authenticator.objects.filter(user=person)}
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "two_factor": factors.get(Authenticator.Type.TOTP),
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "signed_in": len(listed(person, sessions.reference(request.session.session_key))),
        "organisations": Organisation.objects.filter(memberships__user=person)
        .exclude(state__in=ENDED)
        .order_by("display_name"),
    }
    return render(request, "account/overview.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def session_list(request: HttpRequest) -> HttpResponse:
    """/accounts/sessions/: GET lists; POST ends the one named in `session`, or all `others`."""
    person = cast(User, request.user)
    mine = sessions.reference(request.session.session_key)
    if request.method == "POST":
        _end(request, person, mine)
        return HttpResponseRedirect("/accounts/sessions/", status=303)
    rows = listed(person, mine)
    context = {"rows": rows, "others": len(rows) > 1, "base_domain": settings.BASE_DOMAIN}
    return render(request, "account/sessions.html", context)


def listed(person: User, mine: str) -> list[SignedIn]:
    """Where a person is signed in, this browser first. What a session led to stands with it."""
    rows = sessions.of(person.pk)
    known = {row.pk for row in rows if row.host == settings.BASE_DOMAIN}
    led: dict[str, list[Session]] = {}
    shown = []
    for row in rows:
        base = sessions.handed_over_by(row)
        if base in known:
            led.setdefault(base, []).append(row)
        else:
            shown.append(row)
    found = [
        SignedIn(row, in_words(row.agent), row.pk == mine, tuple(led.get(row.pk, ())))
        for row in shown
    ]
    return sorted(found, key=lambda each: not each.here)


def in_words(agent: str) -> str:
    """A User-Agent header as people say it: Firefox on Linux."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "An unknown browser"


def _end(request: HttpRequest, person: User, mine: str) -> None:
    """Ends sessions of this very person; a reference that is not theirs does nothing."""
    with transaction.atomic():
        if request.POST.get("others"):
            kept = [
                row.pk for row in sessions.of(person.pk) if sessions.handed_over_by(row) == mine
            ]
            ended = sessions.end_others(person.pk, but=[mine, *kept])
            messages.success(request, "You are signed out everywhere else.")
        else:
            named = request.POST.get("session", "")
            theirs = re.fullmatch(r"[0-9a-f]{40}", named) and named != mine
            row = Session.objects.filter(pk=named, user=person.pk).first() if theirs else None
            ended = sessions.end_one(row.pk) if row else 0
            if ended:
                messages.success(request, "That session is ended.")
        if ended:
            events.note(request, "sessions_ended", person, after={"count": ended})
