"""Single sign-on as staff see it: which providers organisations use, and who came through them.
Secrets are sealed, and what a provider says of a person is claimed, nothing more."""

from __future__ import annotations

from django.contrib import admin

from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly
from tenants.models import SsoIdentity, SsoProvider


@admin.register(SsoProvider)
class SsoProviderAdmin(StaffAdmin):
    list_display = ("name", "organisation", "issuer", "enabled", "required", "changed")
    list_display_links = ("name",)
    list_select_related = ("organisation",)
    list_filter = ("enabled",)
    search_fields = ("organisation__label", "slug", "issuer")
    search_help_text = "Organisation's label, id or issuer"
    ordering = ("-updated_at",)
    fields = (
        ("name", "slug", "enabled"),
        ("organisation", "required"),
        ("issuer", "client_id", "secret"),
        ("scopes", "groups_claim", "email_claim", "name_claim"),
        ("allowed_domains", "allowed_emails", "allowed_groups"),
        ("default_role", "session_hours"),
        ("made", "changed"),
    )
    readonly_fields = ("required", "secret", "made", "changed")

    @admin.display(description="required of members", boolean=True)
    def required(self, provider: SsoProvider) -> bool:
        return provider.organisation.sso_required

    @admin.display(description="client secret")
    def secret(self, provider: SsoProvider) -> str:
        return "stored, sealed" if provider.client_secret_sealed is not None else "none"

    @admin.display(description="changed", ordering="updated_at")
    def changed(self, provider: SsoProvider) -> str:
        return ago(provider.updated_at)

    @admin.display(description="made")
    def made(self, provider: SsoProvider) -> str:
        return exactly(provider.created_at)


@admin.register(SsoIdentity)
class SsoIdentityAdmin(StaffAdmin):
    list_display = ("claimed_name", "claimed_email", "organisation", "provider", "last_seen")
    list_display_links = ("claimed_name",)
    list_select_related = ("organisation", "provider")
    search_fields = ("organisation__label", "subject", "email__istartswith")
    search_help_text = "Organisation's label, subject or claimed address"
    ordering = ("-last_login_at",)
    fields = (
        ("claimed_name", "claimed_email"),
        ("organisation", "provider", "user"),
        ("issuer", "who"),
        ("claimed_groups",),
        ("first_seen", "last_seen"),
    )
    readonly_fields = (
        "claimed_name",
        "claimed_email",
        "claimed_groups",
        "who",
        "first_seen",
        "last_seen",
    )

    @admin.display(description="name, claimed", ordering="name")
    def claimed_name(self, identity: SsoIdentity) -> str:
        return identity.name or identity.subject

    @admin.display(description="e-mail, claimed", ordering="email")
    def claimed_email(self, identity: SsoIdentity) -> str:
        return identity.email or DASH

    @admin.display(description="groups, claimed")
    def claimed_groups(self, identity: SsoIdentity) -> str:
        return ", ".join(str(group) for group in identity.groups) or DASH

    @admin.display(description="subject")
    def who(self, identity: SsoIdentity) -> str:
        return code(identity.subject, breaks=True)

    @admin.display(description="last signed in", ordering="last_login_at")
    def last_seen(self, identity: SsoIdentity) -> str:
        return ago(identity.last_login_at)

    @admin.display(description="first signed in")
    def first_seen(self, identity: SsoIdentity) -> str:
        return exactly(identity.created_at)
