"""The staff admin site: on the base domain only, with the pages of this package and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.sites import UnfoldAdminSite

from pulsecloud.staff.base import StaffAdmin


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
        if admin_class is not None and issubclass(admin_class, StaffAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from pulsecloud.staff import home

        return super().index(request, {**(extra_context or {}), **home.context()})
