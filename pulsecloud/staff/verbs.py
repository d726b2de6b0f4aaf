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
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.actors import Actor
from pulsecloud.staff.base import StaffAdmin
from tenants.accounts import confirming, recent
from tenants.models import User

# One page of a list; more at once is a job for a script with a plan.
AT_ONCE: Final = 50


class VerbRefused(Exception):
    """The room's verb said no; the text is for staff."""


@dataclass(frozen=True)
class Verb:
    """`unfit(subject)` says why the verb does not apply, or nothing. `run(subject, actor, reason)`
    raises VerbRefused. `permission` is the Django permission that staff need.

    `seen(subject)` is what the decision is about: the page carries it, and a subject for which it
    is something else by the time of the decision is left alone. `fields()` are asked for beside the
    reason and given to `run` by name. A dangerous verb asks for a recent sign-in first.
    `tells(subject)` are consequences that only a look at the subject shows; `names(subject)` is
    how the page that asks calls it.
    """

    name: str
    title: str
    done: str
    permission: str
    consequences: Sequence[str]
    unfit: Callable[[Any], str]
    run: Callable[..., None]
    icon: str
    reason_needed: bool = False
    dangerous: bool = False
    seen: Callable[[Any], str] | None = None
    fields: Callable[[], dict[str, forms.Field]] | None = None
    tells: Callable[[Any], Sequence[str]] | None = None
    names: Callable[[Any], str] = str


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept in the audit trail, which the organisation that it is about can read.",
    )

    def __init__(
        self,
        *args: Any,
        needed: bool,
        others: dict[str, forms.Field] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].required = needed
        self.fields |= others or {}

    @property
    def others(self) -> list[Any]:
        """What the verb asks for beside the reason."""
        return [self[name] for name in self.fields if name != "reason"]

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "reason"}


def staff_actor(request: HttpRequest) -> Actor:
    if not isinstance(request.user, User):
        raise TypeError("only signed-in staff reach these pages")
    return Actor.staff(request.user)


def allowed(request: HttpRequest, verb: Verb) -> bool:
    return request.user.has_perm(verb.permission)


class VerbAdmin(StaffAdmin):
    """A page with verbs: buttons on a row's own page, and actions for the chosen rows of a list.

    Both lead to a page that asks; only its POST with `confirmed` does anything.
    """

    verbs: Sequence[Verb] = ()

    def __init__(self, model: type[Model], admin_site: Any) -> None:
        for verb in self.verbs:
            setattr(self, verb.name, self._button(verb))
        self.actions_detail = [verb.name for verb in self.verbs]
        super().__init__(model, admin_site)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {
            f"{verb.name}_chosen": (self._ask_about_chosen(verb), f"{verb.name}_chosen", verb.title)
            for verb in self.verbs
            if allowed(request, verb)
        }

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Unfold's: the buttons of a row's page. Only what applies now."""
        subject = self.get_object(request, str(object_id))
        fit = [
            verb.name
            for verb in self.verbs
            if subject is not None and allowed(request, verb) and not verb.unfit(subject)
        ]
        return [self.get_unfold_action(name) for name in fit]  # type: ignore[attr-defined]

    def _button(self, verb: Verb) -> Callable[[HttpRequest, str], HttpResponse]:
        """The view behind a button, with what Unfold reads from it."""

        def ask_about_one(request: HttpRequest, object_id: str) -> HttpResponse:
            subject = self.get_object(request, object_id)
            if subject is None:
                raise Http404
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return self._ask(request, verb, [subject], reverse(name, args=[subject.pk]))

        ask_about_one.short_description = verb.title  # type: ignore[attr-defined]
        ask_about_one.icon = verb.icon  # type: ignore[attr-defined]
        ask_about_one.attrs = {}  # type: ignore[attr-defined]
        ask_about_one.variant = (  # type: ignore[attr-defined]
            # The page behind it warns; two red buttons on every page would soon warn of nothing.
            ActionVariant.DEFAULT if verb.dangerous else ActionVariant.PRIMARY
        )
        return ask_about_one

    def _ask_about_chosen(self, verb: Verb) -> Callable[..., HttpResponse]:
        def ask(_: Any, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse:
            subjects = list(chosen[: AT_ONCE + 1])
            return self._ask(request, verb, subjects, request.get_full_path())

        return ask

    def _ask(
        self, request: HttpRequest, verb: Verb, subjects: Sequence[Model], back: str
    ) -> HttpResponse:
        if not allowed(request, verb):
            raise PermissionDenied
        if verb.dangerous and not recent.is_recent(request):
            return HttpResponseRedirect(confirming.address(request.get_full_path()))
        if len(subjects) > AT_ONCE:
            messages.error(request, f"At most {AT_ONCE} at once.")
            return HttpResponseRedirect(back)
        confirmed = request.method == "POST" and "confirmed" in request.POST
        reasons = [
            (subject, verb.unfit(subject) or (confirmed and _changed(request, verb, subject)))
            for subject in subjects
        ]
        fit = [subject for subject, reason in reasons if not reason]
        form = ReasonForm(
            request.POST if confirmed else None,
            needed=verb.reason_needed,
            others=verb.fields() if verb.fields else None,
        )
        if confirmed and fit and form.is_valid():
            for subject, reason in reasons:
                if reason:
                    messages.warning(request, f"{subject} was left alone: it {reason}.")
            _do(request, verb, fit, form.cleaned_data["reason"], form.values())
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": verb.title,
            "verb": verb,
            "subjects": subjects,
            "shown": [(subject, verb.seen(subject) if verb.seen else "") for subject in subjects],
            "fit": [verb.names(subject) for subject in fit],
            "told": [
                text for subject in fit for text in (verb.tells(subject) if verb.tells else ())
            ],
            "unfit": [(subject, reason) for subject, reason in reasons if reason],
            "form": form,
            "back": back,
            "checkbox": ACTION_CHECKBOX_NAME,
            "action": f"{verb.name}_chosen",
        }
        return TemplateResponse(request, "staff/confirm.html", context)


def _changed(request: HttpRequest, verb: Verb, subject: Any) -> str:
    """Why a decision is not about this subject any more: somebody else was faster."""
    shown = request.POST.get(f"seen_{subject.pk}", "")
    if verb.seen is None or not shown or shown == verb.seen(subject):
        return ""
    return f"was changed meanwhile, and is {verb.seen(subject)} now".replace("_", " ")


def _do(
    request: HttpRequest, verb: Verb, subjects: Sequence[Model], reason: str, more: dict[str, Any]
) -> None:
    actor = staff_actor(request)
    done = []
    for subject in subjects:
        try:
            verb.run(subject, actor, reason, **more)
        except VerbRefused as refused:
            messages.error(request, f"{subject}: {refused}")
        else:
            done.append(verb.names(subject))
    if done:
        messages.success(request, f"{verb.done}: {', '.join(done)}.")
