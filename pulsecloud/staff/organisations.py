"""Organisations: what they are, whether phones reach them, what is paid for, what went wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from billing import plans
from pulsecloud.staff import badges, filters, last_proof, organisation_tabs, organisation_verbs
from pulsecloud.staff.organisation_inlines import (
    BackupInline,
    LeaseInline,
    MemberInvitationInline,
    MembershipInline,
    RefreshTokenInline,
    StepInline,
)
from pulsecloud.staff.tokens import TokensOnPage
from pulsecloud.staff.words import DASH, ago, code, exactly, two_lines
from tenants.models import Organisation, Runtime, State
from tenants.states import due_at


@admin.register(Organisation)
class OrganisationAdmin(TokensOnPage):
    list_display = ("name", "state_now", "relay_now", "billing_now", "owner", "since")
    list_display_links = ("name",)
    list_select_related = ("registration", "relay_status", "billing")
    list_filter = (
        filters.WhichOnes,
        filters.CanPhonesReachIt,
        filters.IsItStuck,
        filters.IsItPaidFor,
        filters.InState,
    )
    search_fields = ("label", "display_name", "owner_email")
    search_help_text = "Label, name, owner's address, or the whole id"
    ordering = ("-created_at",)
    list_before_template = "staff/last_proof.html"
    change_form_outer_before_template = "staff/organisation_head.html"
    change_form_before_template = "staff/organisation_before.html"
    change_form_after_template = "staff/organisation_after.html"
    verbs = organisation_verbs.ALL
    # What stands on each tab; a tab that is not named has neither.
    fields_of = {
        organisation_tabs.OVERVIEW: (
            (
                "What it is",
                {
                    "fields": (
                        ("display_name", "state_now"),
                        ("label", "organisation_id"),
                        ("host", "owner_email"),
                        ("created", "provisioned"),
                        ("runtime_now", "requests"),
                    )
                },
            ),
        ),
        organisation_tabs.RELAY: (
            (
                "Can phones reach it?",
                {
                    "fields": (
                        ("relay_now", "relay_meaning"),
                        ("instance", "fingerprint"),
                        ("credential", "connected_since"),
                        ("phones", "runtime_now"),
                    )
                },
            ),
        ),
        organisation_tabs.BILLING: (
            (
                "What is paid for?",
                {"fields": (("billing_now", "plan"), ("trial_ends", "capabilities"))},
            ),
        ),
    }
    inlines_of = {
        organisation_tabs.TIMELINE: (StepInline,),
        organisation_tabs.PEOPLE: (MembershipInline, MemberInvitationInline),
        organisation_tabs.BILLING: (LeaseInline,),
        organisation_tabs.BACKUPS: (BackupInline,),
    }

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        tab = organisation_tabs.chosen(request)
        if tab == organisation_tabs.TIMELINE and obj is not None:
            return (("What stands now", {"fields": tuple(_standing(obj))}),)
        return self.fields_of.get(tab, ())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fieldsets = self.get_fieldsets(request, obj)
        return [name for _, part in fieldsets for row in part["fields"] for name in row]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        """Refresh tokens are for external runtimes, which few have; an empty table says nothing."""
        tab = organisation_tabs.chosen(request)
        inlines: list[Any] = list(self.inlines_of.get(tab, ()))
        if tab == organisation_tabs.BILLING and obj is not None and obj.runtime == Runtime.EXTERNAL:
            inlines.append(RefreshTokenInline)
        if tab == organisation_tabs.PEOPLE and obj is not None and not _invites(obj):
            inlines.remove(MemberInvitationInline)
        return inlines

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        whole_id = _uuid(search_term)
        if whole_id is not None:
            return queryset.filter(pk=whole_id), False
        return super().get_search_results(request, queryset, search_term)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        more = {"last_proof": last_proof.last()}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        organisation = self.get_object(request, object_id)
        if organisation is None or not self.has_view_permission(request, organisation):
            return super().change_view(request, object_id, form_url, extra_context)
        active = organisation.state == State.ACTIVE
        more = {
            "organisation": organisation,
            "state_badge": badges.of_state(organisation),
            "relay_badge": badges.of_relay(organisation) if active else "",
            "billing_badge": badges.of_billing(getattr(organisation, "billing", None)),
            **organisation_tabs.context(request, organisation, self.verbs),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    # --- columns and fields ---------------------------------------------------------------------

    @admin.display(description="organisation", ordering="label")
    def name(self, organisation: Organisation) -> str:
        return two_lines(organisation.display_name, organisation.label)

    @admin.display(description="state", ordering="state")
    def state_now(self, organisation: Organisation) -> str:
        return badges.of_state(organisation)

    @admin.display(description="relay", ordering="relay_status__connected")
    def relay_now(self, organisation: Organisation) -> str:
        return badges.of_relay(organisation)

    @admin.display(description="subscription", ordering="billing__subscription_state")
    def billing_now(self, organisation: Organisation) -> str:
        return badges.of_billing(getattr(organisation, "billing", None))

    @admin.display(description="owner", ordering="owner_email")
    def owner(self, organisation: Organisation) -> str:
        return organisation.owner_email

    @admin.display(description="created", ordering="created_at")
    def since(self, organisation: Organisation) -> str:
        return ago(organisation.created_at)

    @admin.display(description="id")
    def organisation_id(self, organisation: Organisation) -> str:
        return code(str(organisation.pk), breaks=True)

    @admin.display(description="host")
    def host(self, organisation: Organisation) -> str:
        return code(organisation.instance_host, breaks=True)

    @admin.display(description="asked for")
    def created(self, organisation: Organisation) -> str:
        return exactly(organisation.created_at)

    @admin.display(description="provisioned")
    def provisioned(self, organisation: Organisation) -> str:
        return exactly(organisation.provisioned_at)

    @admin.display(description="which means")
    def relay_meaning(self, organisation: Organisation) -> str:
        if organisation.state != State.ACTIVE:
            return f"Only active organisations are reached; it is {_state(organisation)}."
        return badges.relay_words(organisation)[2]

    @admin.display(description="instance id")
    def instance(self, organisation: Organisation) -> str:
        return code(_of(organisation, "registration", "instance_id"))

    @admin.display(description="identity fingerprint")
    def fingerprint(self, organisation: Organisation) -> str:
        return code(_of(organisation, "registration", "identity_fingerprint"), breaks=True)

    @admin.display(description="credential")
    def credential(self, organisation: Organisation) -> str:
        kind = _of(organisation, "relay_status", "credential")
        ends = _of(organisation, "relay_status", "credential_expires_at", None)
        return format_html("{}, runs out {}", kind, ago(ends)) if kind else DASH

    @admin.display(description="connected since")
    def connected_since(self, organisation: Organisation) -> str:
        connected = badges.relay_words(organisation)[0] == "connected"
        return exactly(_of(organisation, "relay_status", "connected_at") if connected else None)

    @admin.display(description="phones connected")
    def phones(self, organisation: Organisation) -> str:
        connected = badges.relay_words(organisation)[0] == "connected"
        return str(_of(organisation, "relay_status", "active_channels")) if connected else "0"

    @admin.display(description="runtime")
    def runtime_now(self, organisation: Organisation) -> str:
        return organisation.get_runtime_display()

    @admin.display(description="requests a minute")
    def requests(self, organisation: Organisation) -> str:
        own = organisation.requests_per_minute
        return (
            f"{own}, of its plan" if own else f"{settings.REQUESTS_PER_ORGANISATION}, the default"
        )

    @admin.display(description="plan")
    def plan(self, organisation: Organisation) -> str:
        return plans.plan_name(_of(organisation, "billing", "plan_version"))

    @admin.display(description="trial ends")
    def trial_ends(self, organisation: Organisation) -> str:
        return exactly(_of(organisation, "billing", "trial_ends_at", None))

    @admin.display(description="capabilities")
    def capabilities(self, organisation: Organisation) -> str:
        return ", ".join(_of(organisation, "billing", "capabilities", [])) or DASH

    @admin.display(description="why provisioning failed")
    def failure_text(self, organisation: Organisation) -> str:
        return organisation.failure or DASH

    @admin.display(description="provisioning attempts")
    def attempts_made(self, organisation: Organisation) -> str:
        return str(organisation.attempts)

    @admin.display(description="suspended")
    def suspended(self, organisation: Organisation) -> str:
        return exactly(organisation.suspended_at)

    @admin.display(description="suspended by, and why")
    def suspend_reason_text(self, organisation: Organisation) -> str:
        if not organisation.suspended_by:
            return DASH
        return f"{organisation.get_suspended_by_display()}: {organisation.suspend_reason or DASH}"

    @admin.display(description="deletion asked for")
    def deletion(self, organisation: Organisation) -> str:
        return exactly(organisation.deletion_requested_at)

    @admin.display(description="its data is kept until")
    def due(self, organisation: Organisation) -> str:
        return exactly(due_at(organisation)) if organisation.deletion_requested_at else DASH

    @admin.display(description="deleted")
    def deleted(self, organisation: Organisation) -> str:
        return exactly(organisation.deleted_at)


def _standing(organisation: Organisation) -> Iterator[tuple[str, str]]:
    """The fields that say something about it now."""
    yield ("state_now", "attempts_made")
    if organisation.failure:
        yield ("failure_text", "created")
    if organisation.suspended_at is not None:
        yield ("suspended", "suspend_reason_text")
    if organisation.deletion_requested_at is not None:
        yield ("deletion", "due")
    if organisation.deleted_at is not None:
        yield ("deleted", "created")


def _invites(organisation: Organisation) -> bool:
    waiting = organisation.member_invitations.filter(accepted_at=None, declined_at=None)
    return waiting.filter(revoked_at=None).exists()


def _state(organisation: Organisation) -> str:
    return organisation.get_state_display().lower()


def _of(organisation: Organisation, relation: str, field: str, default: Any = "") -> Any:
    """A field of a one-to-one row that may be missing."""
    return getattr(getattr(organisation, relation, None), field, default)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
