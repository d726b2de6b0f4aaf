"""Times, names and identifiers as staff read them. Everything is escaped; names may be hostile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

DASH: Final = "–"


def age(moment: datetime) -> str:
    """`3 minutes ago`, `in 2 days`, `just now`."""
    now = timezone.now()
    if abs(now - moment) < timedelta(minutes=1):
        return "just now" if moment <= now else "in a moment"
    if moment > now:
        return f"in {timesince(now, moment, depth=1)}"
    return f"{timesince(moment, now, depth=1)} ago"


def ago(moment: datetime | None) -> str:
    """The age, with the exact time on hover; a dash for never."""
    if moment is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{}" class="whitespace-nowrap">{}</time>',
        moment.isoformat(timespec="seconds"),
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        age(moment),
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


def code(text: str, *, breaks: bool = False) -> str:
    """Identifiers, in a face that tells 0 from O. Long ones `breaks` anywhere."""
    if not text:
        return DASH
    return format_html(
        '<code class="staff-code{}">{}</code>', " staff-breaks" if breaks else "", text
    )


def link(address: str, text: str) -> str:
    return format_html('<a class="staff-link" href="{}">{}</a>', address, text)


def two_lines(first: str, second: str) -> str:
    """A name with what tells it from its namesakes below it."""
    return format_html(
        '<span class="staff-first">{}</span><span class="staff-second">{}</span>', first, second
    )
