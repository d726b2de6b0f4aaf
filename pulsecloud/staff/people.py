"""People who can sign in."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from pulsecloud.staff import badges, filters, person_verbs
from pulsecloud.staff.base import StaffInline
from pulsecloud.staff.entitlement import organisation_link
from pulsecloud.staff.verbs import VerbAdmin
from pulsecloud.staff.words import DASH, ago, code, exactly
from tenants.accounts import entry
from tenants.models import Membership, User


class WhoIsIt(filters.Question):
    title = "who is it?"
    parameter_name = "who"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "staff": ("staff", Q(is_staff=True)),
            "unproved": ("mailbox not proved", Q(email_verified_at=None)),
            "inactive": ("may not sign in", Q(is_active=False)),
            "nobody": ("member of nothing", Q(memberships=None)),
        }


class MembershipInline(StaffInline):
    model = Membership
    verbose_name_plural = "organisations"
    fields = readonly_fields = ("organisation_page", "state", "role", "since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("organisation")

    @admin.display(description="organisation")
    def organisation_page(self, membership: Membership) -> str:
        return organisation_link(membership.organisation)

    @admin.display(description="state")
    def state(self, membership: Membership) -> str:
        return badges.of_state(membership.organisation)

    @admin.display(description="since")
    def since(self, membership: Membership) -> str:
        return ago(membership.added_at)


@admin.register(User)
class PersonAdmin(VerbAdmin):
    verbs = person_verbs.VERBS
    list_display = ("who", "kind", "organisations", "proved", "seen", "since")
    list_display_links = ("who",)
    list_filter = (WhoIsIt,)
    search_fields = ("email", "name")
    search_help_text = "Address or name"
    ordering = ("-date_joined",)
    inlines = (MembershipInline,)
    fields = readonly_fields = (
        "who",
        "name",
        "kind",
        "proved_exactly",
        "second_factor",
        "seen_exactly",
        "joined",
        "person_id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Counted by sub-query: with a join the search's own joins would be counted too."""
        memberships = Membership.objects.filter(user=OuterRef("pk")).order_by().values("user")
        counted = memberships.annotate(number=Count("pk")).values("number")
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(number=Coalesce(Subquery(counted), 0))

    @admin.display(description="person", ordering="email")
    def who(self, person: User) -> str:
        return str(person)

    @admin.display(description="kind")
    def kind(self, person: User) -> str:
        if not person.is_active:
            return badges.badge("inactive", badges.BAD)
        if person.is_superuser:
            return badges.badge("superuser", badges.WARN)
        return badges.badge("staff", badges.WARN) if person.is_staff else "customer"

    @admin.display(description="organisations", ordering="number")
    def organisations(self, person: User) -> str:
        return str(getattr(person, "number", "")) or DASH

    @admin.display(description="mailbox proved", ordering="email_verified_at")
    def proved(self, person: User) -> str:
        return ago(person.email_verified_at)

    @admin.display(description="mailbox proved")
    def proved_exactly(self, person: User) -> str:
        return exactly(person.email_verified_at)

    @admin.display(description="two-factor sign-in")
    def second_factor(self, person: User) -> str:
        return "on" if entry.has_second_factor(person) else DASH

    @admin.display(description="last sign-in", ordering="last_login")
    def seen(self, person: User) -> str:
        return ago(person.last_login)

    @admin.display(description="last sign-in")
    def seen_exactly(self, person: User) -> str:
        return exactly(person.last_login)

    @admin.display(description="joined", ordering="date_joined")
    def since(self, person: User) -> str:
        return ago(person.date_joined)

    @admin.display(description="joined")
    def joined(self, person: User) -> str:
        return exactly(person.date_joined)

    @admin.display(description="id")
    def person_id(self, person: User) -> str:
        return code(str(person.pk))
