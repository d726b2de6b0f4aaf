"""What an owner does to an organisation from the base domain, which stays open while its own host
is shut (design section 6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from audit.actors import Actor
from tenants import hosts, lifecycle
from tenants.accounts import confirming, recent
from tenants.http import bodies
from tenants.models import MemberRole, Organisation, State, SuspendedBy, User
from tenants.models.organisations import RETENTION_DAYS, RETENTION_LEAST, RETENTION_MOST
from tenants.signup_gate import hosted_only

Act = Callable[[HttpRequest, Organisation, Actor], str]
View = Callable[..., HttpResponse]


def for_owner(*methods: str) -> Callable[[View], View]:
    """`view(request, organisation)` for the owner only, behind method, gate and sign-in.

    Everybody else gets the 404 of a label that nobody has.
    """

    def wrap(view: View) -> View:
        @hosted_only(*methods)
        @login_required
        @wraps(view)
        def asked(request: HttpRequest, label: str) -> HttpResponse:
            organisation = hosts.organisation_at(label)
            if organisation is None or not _owns(cast(User, request.user), organisation):
                raise Http404
            return view(request, organisation)

        return asked

    return wrap


def owner_act(act: Act) -> Callable[[HttpRequest, str], HttpResponse]:
    """A POST for the owner only; the text that `act` returns is shown on the list it leads to."""

    @for_owner("POST")
    @wraps(act)
    def view(request: HttpRequest, organisation: Organisation) -> HttpResponse:
        try:
            said = act(request, organisation, Actor.person(cast(User, request.user)))
            messages.success(request, said)
        except lifecycle.TransitionRefused as refused:
            messages.error(request, str(refused))
        return HttpResponseRedirect("/", status=303)

    return view


@owner_act
def suspend(request: HttpRequest, organisation: Organisation, actor: Actor) -> str:
    """/o/<label>/suspend: shuts its host and its phones off until the owner lifts it."""
    reason = bodies.one_line(request.POST.get("reason", ""), longest=1000)
    lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=actor, reason=reason)
    return f"{organisation.display_name} is suspended. Its phones are shut off and stay paired."


@owner_act
def lift(request: HttpRequest, organisation: Organisation, actor: Actor) -> str:
    """/o/<label>/lift: ends a suspension that the owner made."""
    lifecycle.unsuspend(organisation=organisation, by=SuspendedBy.OWNER, actor=actor)
    return f"{organisation.display_name} is active again. Its phones reconnect by themselves."


class DeleteForm(forms.Form):
    """How long to keep it, and its label typed in: nobody deletes an organisation by a slip."""

    retention_days = forms.IntegerField(
        label="Keep it for this many days",
        initial=RETENTION_DAYS,
        min_value=RETENTION_LEAST,
        max_value=RETENTION_MOST,
        help_text=f"From {RETENTION_LEAST} to {RETENTION_MOST}. Until then you can cancel the "
        "deletion; afterwards nobody can bring it back.",
        error_messages={
            "min_value": f"At least {RETENTION_LEAST} day.",
            "max_value": f"At most {RETENTION_MOST} days.",
        },
    )
    reason = forms.CharField(
        label="Why",
        required=False,
        max_length=1000,
        help_text="Kept in the audit trail.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    label = forms.CharField(
        label="Type its address to confirm",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, organisation: Organisation, **options: Any) -> None:
        super().__init__(*args, **options)
        self.organisation = organisation
        self.fields["label"].help_text = f"That is: {organisation.label}"

    def clean_label(self) -> str:
        typed = str(self.cleaned_data["label"]).strip()
        if typed != self.organisation.label:
            raise forms.ValidationError("This is not its address.", code="other_label")
        return typed


@for_owner("GET", "POST")
def delete(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    """/o/<label>/delete: says what will happen; asks for a recent sign-in and the label."""
    if not recent.is_recent(request):
        return HttpResponseRedirect(confirming.address(request.path))
    if organisation.state not in (State.ACTIVE, State.SUSPENDED):
        if request.method != "POST":
            return HttpResponseRedirect("/")  # the list says what it is
        now = organisation.get_state_display().lower()
        messages.error(request, f"Nothing was changed: {organisation.display_name} is {now} now.")
        return HttpResponseRedirect("/", status=303)
    form = DeleteForm(request.POST if request.method == "POST" else None, organisation=organisation)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            return _deleted(request, organisation, form)
        status = 400
    context = {"organisation": organisation, "form": form}
    return render(request, "tenants/delete.html", context, status=status)


def _deleted(request: HttpRequest, organisation: Organisation, form: DeleteForm) -> HttpResponse:
    days = form.cleaned_data["retention_days"]
    shown = request.POST.get("seen", "")  # the state that the page was about
    try:
        lifecycle.soft_delete(
            organisation=organisation,
            by=SuspendedBy.OWNER,
            actor=Actor.person(cast(User, request.user)),
            reason=bodies.one_line(form.cleaned_data["reason"], longest=1000),
            retention_days=days,
            seen=shown if shown in (State.ACTIVE, State.SUSPENDED) else organisation.state,
        )
    except lifecycle.TransitionRefused as refused:
        messages.error(request, str(refused))
    else:
        kept = "one day" if days == 1 else f"{days} days"
        messages.success(
            request,
            f"{organisation.display_name} is shut, and will be deleted in {kept}. Until then you "
            "can cancel that here.",
        )
    return HttpResponseRedirect("/", status=303)


@owner_act
def restore(request: HttpRequest, organisation: Organisation, actor: Actor) -> str:
    """/o/<label>/restore: cancels a deletion that the owner asked for."""
    restored = lifecycle.restore(organisation=organisation, by=SuspendedBy.OWNER, actor=actor)
    if restored.state == State.SUSPENDED:
        return (
            f"{organisation.display_name} will not be deleted. It is suspended, as it was before."
        )
    return (
        f"{organisation.display_name} will not be deleted. It is open again, and its phones "
        "reconnect by themselves."
    )


def _owns(person: User, organisation: Organisation) -> bool:
    return organisation.memberships.filter(user=person, role=MemberRole.OWNER).exists()
