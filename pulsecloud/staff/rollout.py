"""The rollout: which stage, what keeps the next one shut, and the buttons that change it.

Raising, opening sign-ups again, caps and vouching ask for a recent sign-in and a reason. Lowering
and stopping ask for neither: nobody shall look for a password while something burns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from audit.actors import Actor
from pulsecloud.staff import badges
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.verbs import staff_actor
from pulsecloud.staff.words import ago, exactly
from tenants.accounts import confirming, recent
from tenants.models import Attestation, Rollout, Stage, StageChange, User
from tenants.rollout import attestations, conditions, signups, stages
from tenants.rollout.conditions import Condition
from tenants.rollout.evidence import Evidence, Look
from tenants.rollout.stages import ConditionsUnmet, RolloutRefused

SEE, CHANGE = "tenants.view_rollout", "tenants.change_rollout"
HISTORY: Final = 5
AUDIENCES: Final = {
    Stage.DEV: "The team, by invitation.",
    Stage.PRIVATE_BETA: "Invited organisations only.",
    Stage.PUBLIC_BETA: "Whoever signs up, up to its cap.",
    Stage.GA: "Everybody.",
}
# Where a row that is evidence is shown to staff, by its kind; others have no page.
PAGES: Final = {
    "readinessrecord": "tenants_readinessrecord_change",
    "organisation": "tenants_organisation_change",
    "event": "audit_event_change",
    "batch": "audit_batch_change",
    "attestation": "tenants_attestation_change",
    "removal": "tenants_removal_change",
    "deletionreceipt": "tenants_deletionreceipt_change",
}


class ActForm(forms.Form):
    """A reason, and what else the act asks for."""

    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept in the audit trail.",
    )

    def __init__(self, act: Act, what: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].required = act.reason_needed
        fields = dict(self.fields)
        self.fields.clear()
        for name, made in act.fields(what).items():
            self.fields[name] = made
        self.fields.update(fields)


@dataclass(frozen=True)
class Act:
    """A button of the page. `run(what, person, actor, data)` raises RolloutRefused; `consequences`
    and `fields` are asked with the stage or condition that it is about."""

    title: Callable[[str], str]
    done: Callable[[str], str]
    consequences: Callable[[str], Sequence[str]]
    run: Callable[[str, User, Actor, dict[str, Any]], object]
    fields: Callable[[str], dict[str, forms.Field]] = field(default=lambda what: {})
    confirmed: bool = True
    reason_needed: bool = True
    dangerous: bool = False
    kind: str = ""  # what it is about: a stage, a condition, or nothing


def _raise(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return stages.raise_stage(to=Stage(what), actor=actor, by=person, reason=data["reason"])


def _lower(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return stages.lower_stage(to=Stage(what), actor=actor, by=person, reason=data["reason"])


def _stop(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return signups.stop(actor=actor, reason=data["reason"])


def _start(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return signups.start(actor=actor, reason=data["reason"])


def _set_cap(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    cap = None if data["no_cap"] else data["cap"]
    if cap is None and not data["no_cap"]:
        raise RolloutRefused("invalid_cap", "Give a number, or choose that there is no cap.")
    return stages.set_cap(stage=Stage(what), cap=cap, actor=actor, reason=data["reason"])


def _attest(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return attestations.attest(
        condition=what, actor=actor, by=person, reason=data["reason"], days=data["days"]
    )


def _withdraw(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return attestations.withdraw(condition=what, actor=actor, reason=data["reason"])


def _cap_fields(what: str) -> dict[str, forms.Field]:
    now = stages.cap_of(stages.row(), what)
    return {
        "cap": forms.IntegerField(
            label="Organisations at most", required=False, min_value=0, max_value=stages.MOST,
            initial=now, widget=UnfoldAdminIntegerFieldWidget(),
        ),
        "no_cap": forms.BooleanField(
            label="No cap", required=False, initial=now is None,
            widget=UnfoldBooleanSwitchWidget(), help_text="Then the number above does not count.",
        ),
    }  # fmt: skip


def _attest_fields(what: str) -> dict[str, forms.Field]:
    most = attestations.longest(attestations.attestable(what))
    return {
        "days": forms.IntegerField(
            label="Good for days", min_value=1, max_value=most, initial=most,
            widget=UnfoldAdminIntegerFieldWidget(),
            help_text=f"{most} at most; then somebody has to look again.",
        )
    }  # fmt: skip


def _who_comes(stage: str) -> str:
    cap = stages.cap_of(stages.row(), stage)
    capped = "" if stage == Stage.DEV else f" Its cap is {cap}." if cap is not None else " No cap."
    return AUDIENCES[Stage(stage)] + capped


ACTS: Final = {
    "raise": Act(
        title=lambda what: f"Open {stages.words(what)}",
        done=lambda what: f"The stage is {stages.words(what)}.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(what)}",
            "Every condition is looked at again before it happens, and what they showed is kept.",
            "You can go back at any time.",
        ),
        run=_raise,
        kind="stage",
    ),
    "lower": Act(
        title=lambda what: f"Go back to {stages.words(what)}",
        done=lambda what: f"The stage is {stages.words(what)}.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(what)}",
            "It counts at once. Sign-ups without an invitation whose mailbox is not proved yet are "
            "turned away, if this stage asks for one.",
            "Organisations that are there stay as they are.",
            "To come back here, every condition has to be met again.",
        ),
        run=_lower,
        confirmed=False,
        reason_needed=False,
        dangerous=True,
        kind="stage",
    ),
    "stop": Act(
        title=lambda what: "Stop sign-ups",
        done=lambda what: "Sign-ups are stopped.",
        consequences=lambda what: (
            "Nobody can sign up or prove a mailbox from now on, invited or not; they are told to try "
            "again later. Invitations and links stay good until they expire.",
            "Organisations that are there, or are being set up, go on.",
            "Proofs and drills still run: their canaries pass.",
        ),
        run=_stop,
        confirmed=False,
        reason_needed=False,
        dangerous=True,
    ),
    "start": Act(
        title=lambda what: "Open sign-ups again",
        done=lambda what: "People can sign up again.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(stages.current())}",
            "If the stop had a cause, is it gone?",
        ),
        run=_start,
    ),
    "cap": Act(
        title=lambda what: f"Change the cap of {stages.words(what)}",
        done=lambda what: f"The cap of {stages.words(what)} is changed.",
        consequences=lambda what: (
            f"{signups.present()} organisations count at the moment; canaries and requests whose "
            "mailbox is not proved do not.",
            "A cap below that sends nobody away; it lets nobody in.",
        ),
        run=_set_cap,
        fields=_cap_fields,
        kind="stage",
    ),
    "attest": Act(
        title=lambda what: f"Vouch for: {conditions.BY_NAME[what].title}",
        done=lambda what: f"You vouch for {what}.",
        consequences=lambda what: (
            "Your name and your words stand on the checklist and in the audit trail.",
            "It counts only while the software cannot see for itself.",
        ),
        run=_attest,
        fields=_attest_fields,
        kind="condition",
    ),
    "withdraw": Act(
        title=lambda what: f"Withdraw: {conditions.BY_NAME[what].title}",
        done=lambda what: f"Nobody vouches for {what} any more.",
        consequences=lambda what: (
            "The condition is missing from now on. The stage stays as it is until somebody "
            "lowers it.",
        ),
        run=_withdraw,
        confirmed=False,
        reason_needed=False,
        kind="condition",
    ),
}


@dataclass(frozen=True)
class Line:
    """A condition on the checklist, with the address of its evidence and of its buttons."""

    condition: Condition
    shown_at: str
    attest: str
    withdraw: str


@dataclass(frozen=True)
class Box:
    """A stage on the page. `raise_to` and `lower_to` are addresses, or empty."""

    stage: Stage
    audience: str
    standing: str  # past, now, next or later
    cap: int | None
    cap_address: str
    lines: Sequence[Line]
    missing: int
    total: int
    raise_to: str
    lower_to: str


def ask_address(act: str, what: str = "-") -> str:
    return reverse("admin:tenants_rollout_act", args=[act, what])


def _boxes(rollout: Rollout, *, may: bool) -> list[Box]:
    """Every stage with the conditions that it adds; one look for all."""
    look, here = Look(), stages.number(rollout.stage)
    boxes = []
    for place, stage in enumerate(conditions.ORDER):
        found = conditions.evaluate(stage, look)
        missing = sum(not each.met for each in found)
        standing = "now" if place == here else "past" if place < here else "later"
        if place == here + 1:
            standing = "next"
        boxes.append(
            Box(
                stage=stage,
                audience=AUDIENCES[stage],
                standing=standing,
                cap=stages.cap_of(rollout, stage),
                cap_address=ask_address("cap", stage) if may and stage in stages.CAP_FIELDS else "",
                lines=[_line(each, may=may) for each in found if each.stage == stage],
                missing=missing,
                total=len(found),
                raise_to=ask_address("raise", stage) if may and standing == "next" else "",
                lower_to=ask_address("lower", stage) if may and standing == "past" else "",
            )
        )
    return boxes


def _line(condition: Condition, *, may: bool) -> Line:
    vouched = condition.attestation is not None
    return Line(
        condition=condition,
        shown_at=_page_of(condition.evidence),
        attest=ask_address("attest", condition.name)
        if may and condition.attestable and not vouched
        else "",
        withdraw=ask_address("withdraw", condition.name) if may and vouched else "",
    )


def _page_of(row: Evidence | None) -> str:
    if row is None or row.kind not in PAGES:
        return ""
    try:
        return reverse(f"admin:{PAGES[row.kind]}", args=[row.id])
    except NoReverseMatch:
        return ""


@admin.register(StageChange)
class StageChangeAdmin(StaffAdmin):
    """The history of the stage, and beside it the page from which it is changed."""

    list_display = ("when", "change", "who", "why")
    list_display_links = ("when",)
    list_select_related = ("by",)
    ordering = ("-at",)
    change_form_template = "staff/stage_change.html"
    fields = readonly_fields = ("when_exactly", "change", "who", "reason")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("checklist/", wrap(self.checklist), name="tenants_rollout"),
            path("checklist/<str:act>/<str:what>/", wrap(self.ask), name="tenants_rollout_act"),
            *super().get_urls(),
        ]

    def checklist(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(SEE):
            raise PermissionDenied
        rollout = stages.row()
        may = request.user.has_perm(CHANGE)
        stopped = rollout.signups_stopped_at is not None
        context = {
            "rollout": rollout,
            "boxes": _boxes(rollout, may=may),
            "present": signups.present(),
            "cap": stages.cap_of(rollout, rollout.stage),
            "closed": signups.refusal(),
            "stopped": stopped,
            "hosted_mode": settings.HOSTED_MODE,
            "toggle": ask_address("start" if stopped else "stop") if may else "",
            "history": StageChange.objects.select_related("by")[:HISTORY],
            "title": "Rollout",
        }
        return self._page(request, "staff/rollout.html", context)

    def ask(self, request: HttpRequest, act: str, what: str) -> HttpResponse:
        """Says what will happen; its POST does it."""
        if not request.user.has_perm(CHANGE) or not isinstance(request.user, User):
            raise PermissionDenied
        asked = ACTS.get(act)
        if asked is None or not _known(asked, what):
            raise Http404
        if asked.confirmed and not recent.is_recent(request):
            return HttpResponseRedirect(confirming.address(request.get_full_path()))
        form = ActForm(asked, what, request.POST if request.method == "POST" else None)
        missing: Sequence[Condition] = ()
        if form.is_valid():
            try:
                asked.run(what, request.user, staff_actor(request), form.cleaned_data)
            except RolloutRefused as refused:
                form.add_error(None, str(refused))
                missing = refused.missing if isinstance(refused, ConditionsUnmet) else ()
            else:
                messages.success(request, asked.done(what))
                return HttpResponseRedirect(reverse("admin:tenants_rollout"))
        elif act == "raise" and request.method != "POST":
            missing = [each for each in conditions.evaluate(Stage(what)) if not each.met]
        context = {
            "title": asked.title(what),
            "act": asked,
            "consequences": asked.consequences(what),
            "missing": missing,
            "form": form,
            "back": reverse("admin:tenants_rollout"),
        }
        return self._page(request, "staff/rollout_ask.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        """Without `opts` the header names the page instead of the list that it belongs to."""
        title = str(context["title"])
        frame = {**self.admin_site.each_context(request), "content_title": title}
        return TemplateResponse(request, template, {**frame, **context})

    @admin.display(description="when", ordering="at")
    def when(self, change: StageChange) -> str:
        return ago(change.at)

    @admin.display(description="when")
    def when_exactly(self, change: StageChange) -> str:
        return exactly(change.at)

    @admin.display(description="change")
    def change(self, change: StageChange) -> str:
        up = stages.number(change.to_stage) > stages.number(change.from_stage)
        return badges.badge(str(change), badges.GOOD if up else badges.WARN)

    @admin.display(description="by", ordering="by__email")
    def who(self, change: StageChange) -> str:
        return str(change.by or "a command")

    @admin.display(description="reason")
    def why(self, change: StageChange) -> str:
        return change.reason[:120] or "–"


@admin.register(Attestation)
class AttestationAdmin(StaffAdmin):
    """What staff vouched for, over time. The buttons stand on the checklist."""

    list_display = ("condition", "state", "who", "made", "until", "why")
    list_display_links = ("condition",)
    list_select_related = ("by",)
    search_fields = ("condition",)
    ordering = ("-at",)
    fields = readonly_fields = ("condition", "state", "who", "made", "until", "reason")

    @admin.display(description="state")
    def state(self, attestation: Attestation) -> str:
        if attestation.withdrawn_at:
            return badges.badge("withdrawn", badges.BAD)
        over = attestation.expires_at <= timezone.now()
        return badges.badge("expired", badges.QUIET) if over else badges.badge("good", badges.GOOD)

    @admin.display(description="by", ordering="by__email")
    def who(self, attestation: Attestation) -> str:
        return str(attestation.by or "a command")

    @admin.display(description="made", ordering="at")
    def made(self, attestation: Attestation) -> str:
        return ago(attestation.at)

    @admin.display(description="until", ordering="expires_at")
    def until(self, attestation: Attestation) -> str:
        return ago(attestation.expires_at)

    @admin.display(description="reason")
    def why(self, attestation: Attestation) -> str:
        return attestation.reason[:120]


def _known(act: Act, what: str) -> bool:
    """Whether the address names something that the act can be about."""
    if act.kind == "stage":
        return what in Stage.values
    if act.kind == "condition":
        rule = conditions.BY_NAME.get(what)
        return rule is not None and rule.good_for is not None
    return what == "-"
