"""What all staff pages share: read-only unless a page says otherwise, cheap lists, plain words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.timesince import timesince

if TYPE_CHECKING:  # unfold carries no types; its classes extend these
    from django.contrib import admin

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    from unfold.admin import ModelAdmin, TabularInline

# A list says "10000" for more than this many instead of counting all rows of a big table.
COUNTED: Final = 10_000
DASH: Final = "–"


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
    list_per_page = 50
    list_fullwidth = True
    list_filter_sheet = False
    compressed_fields = True
    list_display_links: Any = ()

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

    def has_add_permission(self, request: HttpRequest, obj: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def ago(moment: datetime | None) -> str:
    """`3 minutes ago` or `in 2 days`, with the exact time on hover; a dash for never."""
    if moment is None:
        return DASH
    now = timezone.now()
    if abs(now - moment) < timedelta(minutes=1):
        text = "just now"
    elif moment > now:
        text = f"in {timesince(now, moment, depth=1)}"
    else:
        text = f"{timesince(moment, now, depth=1)} ago"
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>',
        moment.isoformat(timespec="seconds"),
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        text,
    )


def exactly(moment: datetime | None) -> str:
    """The time to the second, and how long ago that is."""
    if moment is None:
        return DASH
    return format_html(
        '<span class="whitespace-nowrap">{}</span> <span class="staff-quiet">({})</span>',
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        ago(moment),
    )


def code(text: str) -> str:
    """Identifiers and keys, in a face that tells 0 from O and may break anywhere."""
    return format_html('<code class="staff-code">{}</code>', text) if text else DASH


def link(address: str, text: str) -> str:
    return format_html('<a class="staff-link" href="{}">{}</a>', address, text)


def two_lines(first: str, second: str) -> str:
    """A name with what tells it from its namesakes below it."""
    return format_html(
        '<span class="staff-first">{}</span><span class="staff-second">{}</span>', first, second
    )
