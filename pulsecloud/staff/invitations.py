"""Invitations: made with a form that calls the verb, shown or mailed once, revoked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from audit.actors import Actor
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffInline
from pulsecloud.staff.entitlement import organisation_link
from pulsecloud.staff.invitation_batches import BatchesOnPage
from pulsecloud.staff.verbs import Verb, VerbRefused, staff_actor
from pulsecloud.staff.words import ago, exactly
from tenants import addresses, invitations, mailboxes
from tenants.models import Invitation, Organisation, User


def _revoke(invitation: Invitation, actor: Actor, reason: str) -> None:
    if not invitations.revoke(invitation=invitation, actor=actor, reason=reason):
        raise VerbRefused("it was revoked already")


def _is_over(invitation: Invitation) -> str:
    return {"revoked": "is revoked already", "used up": "is used up", "expired": "has expired"}.get(
        state_of(invitation), ""
    )


REVOKE = Verb(
    name="revoke",
    title="Revoke",
    done="Revoked",
    permission="tenants.change_invitation",
    consequences=(
        "Nobody can sign up with it any more; the link in a mail that was sent stops working.",
        "Organisations that came with it stay as they are.",
    ),
    unfit=_is_over,
    run=_revoke,
    icon="block",
    dangerous=True,
)


def state_of(invitation: Invitation) -> str:
    if invitation.revoked_at:
        return "revoked"
    if invitation.used >= invitation.seats:
        return "used up"
    return "expired" if invitation.expires_at <= timezone.now() else "open"


class InvitationForm(forms.Form):
    """What `tenants.invitations.invite` takes. Its own refusals become errors of the form."""

    email = forms.EmailField(
        label="For this address only",
        required=False,
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "off"}),
        help_text="Empty: whoever has the link.",
    )
    domain = forms.CharField(
        label="Or for the mailboxes of a domain",
        required=False,
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Such as example.com. Each mailbox is proved before anything is set up; "
        "subdomains are others.",
    )
    send = forms.BooleanField(
        label="Mail it",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="The link goes to that mailbox and is shown to nobody, so redeeming it proves "
        "the mailbox.",
    )
    seats = forms.IntegerField(
        min_value=1, max_value=10_000, initial=1, widget=UnfoldAdminIntegerFieldWidget(),
        help_text="How many sign-ups it lets through.",
    )  # fmt: skip
    days = forms.IntegerField(
        label="Valid for days",
        min_value=1,
        max_value=365,
        initial=14,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    note = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget(),
        help_text="For your colleagues; the invited person does not see it.",
    )  # fmt: skip
    reason = forms.CharField(
        required=False, max_length=1000, widget=UnfoldAdminTextInputWidget(),
        help_text="Kept in the audit trail.",
    )  # fmt: skip

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        mailboxes.require_ascii(email)
        return email

    def clean_domain(self) -> str:
        domain = str(self.cleaned_data["domain"])
        try:
            return invitations.clean_domain(domain) if domain else ""
        except invitations.InvalidInvitation as invalid:
            raise ValidationError(str(invalid)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("email") and data.get("domain"):
            raise ValidationError({"domain": "For an address or for a domain, not for both."})
        if data.get("send") and not data.get("email"):
            raise ValidationError({"email": "An address is needed to mail it to."})
        if data.get("send") and data.get("seats") not in (None, 1):
            raise ValidationError({"seats": "A mailed invitation has one seat."})
        return data


class IsItOpen(filters.Question):
    title = "can it be used?"
    parameter_name = "open"

    def answers(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        unused = Q(revoked_at=None, used__lt=F("seats"))
        return {
            "yes": ("yes", unused & Q(expires_at__gt=now)),
            "used": ("no, used up", Q(used__gte=F("seats"))),
            "expired": ("no, expired", unused & Q(expires_at__lte=now)),
            "revoked": ("no, revoked", Q(revoked_at__isnull=False)),
        }


class WhoIsItFor(filters.WhichOnes):
    """Proofs mint one invitation each; they are not what staff look for."""

    title = "who is it for?"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {"canaries": ("canaries, made by proofs", Q(canary=True)), "all": ("all", Q())}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value():
            return filters.Question.queryset(self, request, queryset)
        return queryset.filter(canary=False)

    def choices(self, changelist: Any) -> Any:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "customers"}
        yield from rest


class OrganisationInline(StaffInline):
    model = Organisation
    fk_name = "invitation"
    verbose_name_plural = "organisations that came with it"
    fields = readonly_fields = ("organisation_page", "state_now", "owner_email", "since")

    @admin.display(description="organisation")
    def organisation_page(self, organisation: Organisation) -> str:
        return organisation_link(organisation)

    @admin.display(description="state")
    def state_now(self, organisation: Organisation) -> str:
        return badges.of_state(organisation)

    @admin.display(description="asked for")
    def since(self, organisation: Organisation) -> str:
        return ago(organisation.created_at)


@admin.register(Invitation)
class InvitationAdmin(BatchesOnPage):
    list_display = ("whom", "state", "taken", "how", "expires", "made_by", "made", "note")
    list_display_links = ("whom",)
    list_select_related = ("created_by",)
    list_filter = (WhoIsItFor, IsItOpen)
    search_fields = ("email", "domain", "batch", "note")
    search_help_text = "Address, domain, batch or note"
    list_before_template = "staff/invite_many.html"
    ordering = ("-created_at",)
    inlines = (OrganisationInline,)
    verbs = (REVOKE,)
    fields = readonly_fields = (
        "whom",
        "state",
        "taken",
        "how",
        "expires_exactly",
        "revoked",
        "made_by",
        "made",
        "batch",
        "note",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.add_invitation")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = InvitationForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self._invite(request, form)
            if answer is not None:
                return answer
        context = {"form": form, "title": "Invite"}
        return self._page(request, "staff/invite.html", context)

    def _invite(self, request: HttpRequest, form: InvitationForm) -> HttpResponse | None:
        """Calls the verb; None when it refused, with the reason in the form."""
        by = request.user if isinstance(request.user, User) else None
        try:
            with transaction.atomic():  # an invitation whose link cannot be told is no use
                email = form.cleaned_data["email"]
                if email and invitations.waits_for(email):
                    form.add_error(
                        "email", "It has an invitation that can still be used. Revoke that first."
                    )
                    return None
                invited = invitations.invite(
                    actor=staff_actor(request), created_by=by, **form.cleaned_data
                )
                shown = "" if form.cleaned_data["send"] else invited.link
        except (invitations.InvalidInvitation, addresses.PublicUrlMissing) as refused:
            form.add_error(None, str(refused))
            return None
        if not shown:
            messages.success(
                request, f"The invitation is on its way to {invited.invitation.email}."
            )
            return HttpResponseRedirect(reverse("admin:tenants_invitation_changelist"))
        # Shown in this answer only: a redirect would have to keep the link somewhere.
        context = {"invitation": invited.invitation, "link": shown, "title": "Invitation made"}
        return self._page(request, "staff/invited.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})

    @admin.display(description="for", ordering="email")
    def whom(self, invitation: Invitation) -> str:
        if invitation.domain:
            return f"mailboxes of {invitation.domain}"
        return invitation.email or "whoever has the link"

    @admin.display(description="state")
    def state(self, invitation: Invitation) -> str:
        state = state_of(invitation)
        tones = {"open": badges.GOOD, "revoked": badges.BAD}
        return badges.badge(state, tones.get(state, badges.QUIET))

    @admin.display(description="seats taken", ordering="used")
    def taken(self, invitation: Invitation) -> str:
        return f"{invitation.used} of {invitation.seats}"

    @admin.display(description="delivered")
    def how(self, invitation: Invitation) -> str:
        return "mailed" if invitation.mailed_at else "shown once"

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, invitation: Invitation) -> str:
        return ago(invitation.expires_at)

    @admin.display(description="expires")
    def expires_exactly(self, invitation: Invitation) -> str:
        return exactly(invitation.expires_at)

    @admin.display(description="revoked")
    def revoked(self, invitation: Invitation) -> str:
        return exactly(invitation.revoked_at)

    @admin.display(description="made by", ordering="created_by__email")
    def made_by(self, invitation: Invitation) -> str:
        return str(invitation.created_by or "a command")

    @admin.display(description="made", ordering="created_at")
    def made(self, invitation: Invitation) -> str:
        return ago(invitation.created_at)
