"""Billing states, leases and signing keys. All read-only: verbs and `manage.py keys` change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from billing import plans
from billing.models import BillingState, Lease, SigningKey
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly, link

if TYPE_CHECKING:
    from tenants.models import Organisation


def organisation_link(organisation: Organisation) -> str:
    address = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    return link(address, str(organisation))


@admin.register(BillingState)
class BillingStateAdmin(StaffAdmin):
    list_display = ("organisation_name", "now", "plan", "trial_ends", "changed")
    list_display_links = ("organisation_name",)
    list_select_related = ("organisation",)
    list_filter = (filters.BillingIsPaidFor,)
    search_fields = ("organisation__label", "organisation__owner_email", "plan_version")
    search_help_text = "Label, owner's address or plan"
    ordering = ("-changed_at",)
    fields = (
        ("organisation_page", "now"),
        ("plan", "plan_version"),
        ("trial_started", "trial_ends_exactly"),
        ("capabilities_text",),
        ("limits_text", "meters_text"),
        ("version", "changed"),
    )
    readonly_fields = (
        "organisation_page",
        "now",
        "plan",
        "plan_version",
        "trial_started",
        "trial_ends_exactly",
        "capabilities_text",
        "limits_text",
        "meters_text",
        "version",
        "changed",
    )

    @admin.display(description="organisation", ordering="organisation__label")
    def organisation_name(self, billing: BillingState) -> str:
        return str(billing.organisation)

    @admin.display(description="organisation")
    def organisation_page(self, billing: BillingState) -> str:
        return organisation_link(billing.organisation)

    @admin.display(description="subscription", ordering="subscription_state")
    def now(self, billing: BillingState) -> str:
        return badges.of_billing(billing)

    @admin.display(description="plan", ordering="plan_version")
    def plan(self, billing: BillingState) -> str:
        return plans.plan_name(billing.plan_version)

    @admin.display(description="trial ends", ordering="trial_ends_at")
    def trial_ends(self, billing: BillingState) -> str:
        return ago(billing.trial_ends_at)

    @admin.display(description="trial ends")
    def trial_ends_exactly(self, billing: BillingState) -> str:
        return exactly(billing.trial_ends_at)

    @admin.display(description="trial began")
    def trial_started(self, billing: BillingState) -> str:
        return exactly(billing.trial_started_at)

    @admin.display(description="capabilities")
    def capabilities_text(self, billing: BillingState) -> str:
        return ", ".join(billing.capabilities) or DASH

    @admin.display(description="limits")
    def limits_text(self, billing: BillingState) -> str:
        return ", ".join(f"{key}: {value}" for key, value in billing.limits.items()) or "none"

    @admin.display(description="meters")
    def meters_text(self, billing: BillingState) -> str:
        return ", ".join(billing.meters_enabled) or "none"

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, billing: BillingState) -> str:
        return ago(billing.changed_at)


class IsItValid(filters.Question):
    title = "is it valid now?"
    parameter_name = "valid"

    def answers(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        return {
            "yes": ("yes", Q(expires_at__gt=now)),
            "no": ("no, it ran out", Q(expires_at__lte=now)),
        }


class WhoIsItFor(filters.Question):
    title = "who asked for it?"
    parameter_name = "for"

    def answers(self) -> dict[str, tuple[str, Q]]:
        words = {
            "provisioning": "provisioning, as a test",
            "runtime": "the built-in runtime",
            "refresh": "an external runtime",
        }
        return {value: (text, Q(issued_for=value)) for value, text in words.items()}


@admin.register(Lease)
class LeaseAdmin(StaffAdmin):
    list_display = ("issued", "organisation_name", "issued_for", "expires", "plan_version", "key")
    list_display_links = ("issued",)
    list_select_related = ("organisation",)
    list_filter = (IsItValid, WhoIsItFor, filters.when("issued_at"))
    search_fields = ("organisation__label", "kid__startswith")
    search_help_text = "Label or key id"
    ordering = ("-pk",)
    fields = readonly_fields = (
        "organisation_page",
        "issued_exactly",
        "expires_exactly",
        "issued_for",
        "plan_version",
        "subscription_state",
        "key",
    )

    @admin.display(description="organisation", ordering="organisation__label")
    def organisation_name(self, lease: Lease) -> str:
        return str(lease.organisation)

    @admin.display(description="organisation")
    def organisation_page(self, lease: Lease) -> str:
        return organisation_link(lease.organisation)

    @admin.display(description="issued", ordering="issued_at")
    def issued(self, lease: Lease) -> str:
        return ago(lease.issued_at)

    @admin.display(description="issued")
    def issued_exactly(self, lease: Lease) -> str:
        return exactly(lease.issued_at)

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, lease: Lease) -> str:
        return ago(lease.expires_at)

    @admin.display(description="expires")
    def expires_exactly(self, lease: Lease) -> str:
        return exactly(lease.expires_at)

    @admin.display(description="signed with")
    def key(self, lease: Lease) -> str:
        return code(lease.kid)


@admin.register(SigningKey)
class SigningKeyAdmin(StaffAdmin):
    list_display = ("key", "state", "public", "made", "retires")
    list_display_links = ("key",)
    ordering = ("-active", "-created_at")
    fields = readonly_fields = ("key", "state", "public", "made", "retires")
    list_before_template = "staff/keys_hint.html"

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).defer("sealed_private_key")

    @admin.display(description="key id", ordering="kid")
    def key(self, key: SigningKey) -> str:
        return code(key.kid)

    @admin.display(description="state", ordering="active")
    def state(self, key: SigningKey) -> str:
        if key.active:
            return badges.badge("active", badges.GOOD, "Signs every new lease.")
        if key.retires_at is None:
            return badges.badge(
                "prepared", badges.CALM, "Verifiers may learn it; signs nothing yet."
            )
        return badges.badge("retiring", badges.WARN, "Verifies until its last lease ran out.")

    @admin.display(description="public key")
    def public(self, key: SigningKey) -> str:
        return code(key.public_key)

    @admin.display(description="made", ordering="created_at")
    def made(self, key: SigningKey) -> str:
        return exactly(key.created_at)

    @admin.display(description="retires", ordering="retires_at")
    def retires(self, key: SigningKey) -> str:
        return ago(key.retires_at)
