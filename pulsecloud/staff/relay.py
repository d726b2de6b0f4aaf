"""Relay registrations: the identity and the instance id of each organisation, and its connection."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse

from pulsecloud.staff import badges
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly, link
from relay.models import Registration


@admin.register(Registration)
class RegistrationAdmin(StaffAdmin):
    list_display = ("instance", "organisation_link", "connection", "credential", "heard_of")
    list_display_links = ("instance",)
    list_select_related = ("organisation__relay_status",)
    search_fields = ("instance_id__startswith", "organisation__label", "licence_id")
    search_help_text = "Instance id, label or licence id"
    ordering = ("-created_at",)
    readonly_fields = (
        "instance",
        "organisation_link",
        "connection",
        "last_error",
        "credential",
        "credential_until",
        "connected_since",
        "heard_of",
        "fingerprint",
        "public_key",
        "licence",
        "made",
    )
    fields = (
        ("instance", "organisation_link"),
        ("connection", "last_error"),
        ("credential", "credential_until"),
        ("connected_since", "heard_of"),
        ("fingerprint",),
        ("public_key",),
        ("licence", "made"),
    )

    @admin.display(description="instance id", ordering="instance_id")
    def instance(self, registration: Registration) -> str:
        return code(registration.instance_id)

    @admin.display(description="organisation", ordering="organisation__label")
    def organisation_link(self, registration: Registration) -> str:
        address = reverse("admin:tenants_organisation_change", args=[registration.pk])
        return link(address, str(registration.organisation))

    @admin.display(description="connection")
    def connection(self, registration: Registration) -> str:
        return badges.of_relay(registration.organisation)

    @admin.display(description="what that means")
    def last_error(self, registration: Registration) -> str:
        return badges.relay_words(registration.organisation)[2] or DASH

    @admin.display(description="credential")
    def credential(self, registration: Registration) -> str:
        status = getattr(registration.organisation, "relay_status", None)
        return (status.credential if status else "") or DASH

    @admin.display(description="credential runs out")
    def credential_until(self, registration: Registration) -> str:
        status = getattr(registration.organisation, "relay_status", None)
        return exactly(status.credential_expires_at if status else None)

    @admin.display(description="connected since")
    def connected_since(self, registration: Registration) -> str:
        status = getattr(registration.organisation, "relay_status", None)
        return exactly(status.connected_at if status and status.connected else None)

    @admin.display(
        description="runtime last reported", ordering="organisation__relay_status__seen_at"
    )
    def heard_of(self, registration: Registration) -> str:
        status = getattr(registration.organisation, "relay_status", None)
        return ago(status.seen_at if status else None)

    @admin.display(description="identity fingerprint")
    def fingerprint(self, registration: Registration) -> str:
        return code(registration.identity_fingerprint, breaks=True)

    @admin.display(description="identity public key")
    def public_key(self, registration: Registration) -> str:
        return code(registration.identity_public_key, breaks=True)

    @admin.display(description="attached licence")
    def licence(self, registration: Registration) -> str:
        return code(registration.licence_id, breaks=True)

    @admin.display(description="made")
    def made(self, registration: Registration) -> str:
        return exactly(registration.created_at)
