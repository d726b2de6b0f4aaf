"""The rollout: which stage, what keeps the next one shut, and the buttons that change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils import timezone

from pulsecloud.staff import badges
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.rollout_acts import ACTS, AUDIENCES, ActForm
from pulsecloud.staff.verbs import staff_actor
from pulsecloud.staff.words import ago, exactly
from tenants.accounts import confirming, recent
from tenants.models import Attestation, Rollout, Stage, StageChange, User
from tenants.rollout import conditions, signups, stages
from tenants.rollout.conditions import Condition
from tenants.rollout.evidence import Evidence, Look
from tenants.rollout.stages import ConditionsUnmet, RolloutRefused

SEE, CHANGE = "tenants.view_rollout", "tenants.change_rollout"
HISTORY: Final = 5
CHANGED: Final = "Somebody changed it while you were looking. This is how it stands now."
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
        if asked is None or not asked.known(what):
            raise Http404
        if asked.confirmed and not recent.is_recent(request):
            return HttpResponseRedirect(confirming.address(request.get_full_path()))
        form = ActForm(asked, what, request.POST if request.method == "POST" else None)
        missing: Sequence[Condition] = ()
        now = asked.seen(what)
        if form.is_bound and request.POST.get("seen", now) != now:
            form.add_error(None, CHANGED)
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
            try:
                missing = stages.missing(Stage(what))
            except RolloutRefused as refused:  # an old page or address: it is no step from here
                messages.warning(request, str(refused))
                return HttpResponseRedirect(reverse("admin:tenants_rollout"))
        context = {
            "title": asked.title(what),
            "act": asked,
            "consequences": asked.consequences(what),
            "missing": missing,
            "form": form,
            "seen": now,
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
