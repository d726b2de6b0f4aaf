"""What the rollout page needs in templates."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join

register = template.Library()


@register.filter
def commands(text: str) -> str:
    """Text in which `what stands between backticks` is code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "",
        "{}",
        (
            (format_html('<code class="staff-code">{}</code>', part) if place % 2 else part,)
            for place, part in parts
        ),
    )
