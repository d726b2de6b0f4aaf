"""Verbs that staff may use, each with a page that says what will happen before it does.

A page never changes a row itself: it calls the verb of the room that owns the row, which locks,
checks and writes the audit row, and then tells what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.actors import Actor
from pulsecloud.staff.base import ModelAdmin
from tenants.models import User

# One page of a list; more at once is a job for a script with a plan.
AT_ONCE: Final = 50


class VerbRefused(Exception):
    """The room's verb said no; the text is for staff."""


@dataclass(frozen=True)
class Verb:
    """`unfit(subject)` says why the verb does not apply, or nothing. `run(subject, actor, reason)`
    raises VerbRefused. `permission` is the Django permission that staff need."""

    name: str
    title: str
    done: str
    permission: str
    consequences: Sequence[str]
    unfit: Callable[[Any], str]
    run: Callable[[Any, Actor, str], None]
    reason_needed: bool = False
    dangerous: bool = False


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept in the audit trail.",
    )

    def __init__(self, *args: Any, needed: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].required = needed


def staff_actor(request: HttpRequest) -> Actor:
    if not isinstance(request.user, User):
        raise TypeError("only signed-in staff reach these pages")
    return Actor.staff(request.user)


def allowed(request: HttpRequest, verb: Verb) -> bool:
    return request.user.has_perm(verb.permission)  # type: ignore[union-attr]


def confirm(
    page: ModelAdmin, request: HttpRequest, verb: Verb, subjects: Sequence[Model], back: str
) -> HttpResponse:
    """GET, or the POST of a list action: the page that asks. POST with `confirmed`: does it."""
    fit = [subject for subject in subjects if not verb.unfit(subject)]
    unfit = [(subject, verb.unfit(subject)) for subject in subjects if verb.unfit(subject)]
    confirmed = request.method == "POST" and "confirmed" in request.POST
    form = ReasonForm(request.POST if confirmed else None, needed=verb.reason_needed)
    if len(subjects) > AT_ONCE:
        messages.error(request, f"At most {AT_ONCE} at once; {len(subjects)} were chosen.")
        return HttpResponseRedirect(back)
    if confirmed and form.is_valid():
        _do(request, verb, fit, form.cleaned_data["reason"])
        return HttpResponseRedirect(back)
    return TemplateResponse(
        request,
        "staff/confirm.html",
        {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": verb.title,
            "verb": verb,
            "fit": fit,
            "unfit": unfit,
            "form": form,
            "back": back,
            "chosen": ACTION_CHECKBOX_NAME,
            "subjects": subjects,
        },
    )


def _do(request: HttpRequest, verb: Verb, subjects: Sequence[Model], reason: str) -> None:
    actor = staff_actor(request)
    done = []
    for subject in subjects:
        try:
            verb.run(subject, actor, reason)
        except VerbRefused as refused:
            messages.error(request, f"{subject}: {refused}")
        else:
            done.append(str(subject))
    if done:
        messages.success(request, f"{verb.done}: {', '.join(done)}.")
