"""The staff admin site: on the base domain only, with the pages of this package and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

if TYPE_CHECKING:  # unfold carries no types; its site extends this one
    from django.contrib.admin import AdminSite as UnfoldAdminSite
else:
    from unfold.sites import UnfoldAdminSite


class StaffSite(UnfoldAdminSite):
    """Takes registrations of StaffAdmin classes only.

    Applications register pages of their own for e-mail addresses, groups and jobs, which change
    rows past our verbs and their audit trail (F68); here those registrations do nothing. Nothing
    is ever deleted from a list.
    """

    site_title = "PulseCloud staff"
    site_header = "PulseCloud"
    index_title = "Overview"
    index_template = "staff/home.html"
    enable_nav_sidebar = True

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        # Not at the top: it imports Unfold's pages, and they ask for this site.
        from pulsecloud.staff.base import StaffAdmin

        if admin_class is not None and issubclass(admin_class, StaffAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff; in production those who came with a second factor."""
        from pulsecloud.staff import second_factor

        return super().has_permission(request) and second_factor.suffices(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Everybody signs in at one place, with its limits; a customer is told that this is not
        theirs."""
        if not request.user.is_authenticated:
            return redirect_to_login(self._next(request))
        if self.has_permission(request):
            return HttpResponseRedirect(self._next(request))
        if super().has_permission(request):
            return self._second_factor_needed(request)
        context = {**self.each_context(request), "title": "Not for this account"}
        return TemplateResponse(request, "staff/not_staff.html", context, status=403)

    def _second_factor_needed(self, request: HttpRequest) -> HttpResponse:
        """Says how to get in, to staff whose sign-in took no code."""
        from pulsecloud.staff import second_factor

        context = {
            **self.each_context(request),
            "title": "Two-factor sign-in needed",
            "has_factor": second_factor.is_on(request),
        }
        return TemplateResponse(request, "staff/second_factor.html", context, status=403)

    def search(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """In place of Unfold's, which looks for pages and remembers what it found for minutes."""
        from pulsecloud.staff import find

        term = request.GET.get("s", "").strip()
        kinds = find.find(request, term)
        if meant := find.straight_to(kinds):
            return HttpResponseRedirect(meant)
        context = {
            **self.each_context(request),
            "title": "Search",
            "term": term,
            "shortest": find.SHORTEST,
            "kinds": kinds,
        }
        return TemplateResponse(request, "staff/search.html", context)

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """At the one place, too, with its limits and its trail."""
        return HttpResponseRedirect(reverse("account_change_password"))

    def _next(self, request: HttpRequest) -> str:
        """Where the person wanted to go, if that is one of these pages."""
        wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
        home = reverse(f"{self.name}:index")
        return wanted if wanted.startswith(home) and "\\" not in wanted else home

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from pulsecloud.staff import home

        return super().index(request, {**(extra_context or {}), **home.context(request)})
