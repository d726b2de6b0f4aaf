"""What all staff pages share: read-only unless a page says otherwise, cheap lists, plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from pulsecloud.staff.empty import EMPTY

if TYPE_CHECKING:  # unfold carries no types; its classes extend these
    from django.contrib import admin

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    from unfold.admin import ModelAdmin, TabularInline

# A list says "10000" for more than this many instead of counting all rows of a big table.
COUNTED: Final = 10_000


class CappedPaginator(Paginator[Any] if TYPE_CHECKING else Paginator):  # type: ignore[misc]
    """Counts up to COUNTED rows with a LIMIT."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list
        return rows.order_by()[:COUNTED].count()


class StaffAdmin(ModelAdmin):
    """Base of every staff page. Nothing is added, changed or deleted here unless a page says so:
    that is a verb's business. A list costs the same number of queries whatever it shows."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # one COUNT(*) for each answer of each question
    list_per_page = 50
    list_fullwidth = True
    list_filter_sheet = False
    compressed_fields = True
    list_display_links: Any = ()
    change_form_template = "staff/change_form.html"
    change_list_template = "staff/change_list.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """With what it says while it has no rows."""
        empty = EMPTY[self.opts.label_lower]
        may = not empty.permission or request.user.has_perm(empty.permission)
        more = {"empty": empty, "empty_link": empty.link if may else None}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the questions that a list asks. Django takes any field of a row, and
        `?password__startswith=` would tell a hash letter by letter to whoever may see the list."""
        questions = self.get_list_filter(request) if request is not None else self.list_filter
        if lookup in {getattr(each, "parameter_name", None) for each in questions}:
            return True
        name = lookup.split("__")[0]  # what names nothing at all is Django's to turn away
        return name not in {"pk", *(field.name for field in self.opts.get_fields())}

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Django looks for a field named "" when the address says `_to_field=`."""
        return super().get_object(request, object_id, from_field or None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StaffInline(TabularInline):
    """Rows of something else, shown on its page."""

    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
