"""Proving again who one is, before a dangerous page (hosted-contract section 9.2).

/accounts/reauthenticate/?next=<path> asks for the password or a code of the second factor; people
who have neither get a link by mail. `next` may be /o/<label>/?to=<path>: the hand-off carries the
time of the proof to the organisation's host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import cast
from urllib.parse import quote

from allauth.account.views import reauthenticate as by_password
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from tenants import mail
from tenants.accounts import entry, recent
from tenants.models import User

View = Callable[..., HttpResponseBase]
PATH = "/accounts/reauthenticate/"


def address(to: str) -> str:
    """Where on the base domain somebody confirms who they are, and goes on to the path `to`."""
    return f"{PATH}?next={quote(to, safe='')}"


def recently_confirmed(view: View) -> View:
    """A page of the base domain for people who proved who they are within five minutes."""

    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not recent.is_recent(request):
            return HttpResponseRedirect(address(request.get_full_path()))
        return view(request, *args, **kwargs)

    return wrapped


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def confirm(request: HttpRequest) -> HttpResponseBase:
    """By what this person has: password, code, or mailbox."""
    person = cast(User, request.user)
    target = entry.local_path(request.POST.get("next") or request.GET.get("next") or "/")
    if recent.is_recent(request) and request.method != "POST":
        return HttpResponseRedirect(target)
    if person.has_usable_password():
        return cast(HttpResponseBase, by_password(request))
    if entry.has_second_factor(person):
        return HttpResponseRedirect(f"/accounts/2fa/reauthenticate/?next={quote(target, safe='')}")
    return _by_mail(request, person, target)


def _by_mail(request: HttpRequest, person: User, target: str) -> HttpResponse:
    """For people without password and code. Staff get no link: a mailbox alone must not open the
    staff pages."""
    context = {"email": person.email, "next": target, "may": not person.is_staff, "sent": False}
    if request.method == "POST" and not person.is_staff:
        if entry.mail_allowed(str(person.email)):
            mail.send_later(
                to=str(person.email),
                subject="Confirm that it is you",
                template="confirm",
                context={
                    "link": entry.sign_in_link(person, target=target),
                    "minutes": entry.LINK_MINUTES,
                },
            )
        context["sent"] = True
    return render(request, "account/reauthenticate_mail.html", context)
