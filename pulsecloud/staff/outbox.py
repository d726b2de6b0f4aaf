"""Outgoing mail. In development, where nothing is sent, the text is here with its links."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffAdmin
from pulsecloud.staff.words import ago, exactly
from tenants import addresses, hosts
from tenants.models import OutboxMail

_WEB_ADDRESS = re.compile(r"(https?://[^\s<>\"'\\]*[^\s<>\"'\\.,:;!?)\]])")


def linked(text: str) -> SafeString:
    """Escaped, with addresses that lead to us as links: names and notes in mail are a stranger's."""
    parts = _WEB_ADDRESS.split(text)  # every second one is an address
    return format_html_join(
        "",
        "{}",
        (
            (format_html('<a href="{}">{}</a>', part, part) if at % 2 and _is_ours(part) else part,)
            for at, part in enumerate(parts)
        ),
    )


def _is_ours(address: str) -> bool:
    """Whether it leads to the base domain or to an organisation's host."""
    try:
        host = urlsplit(address).hostname or ""
        start = addresses.of_organisation(host, "") if hosts.label_of(host) else addresses.base()
    except (ValueError, addresses.PublicUrlMissing):
        return False
    return f"{address}/".startswith(f"{start}/")


class WasItSent(filters.Question):
    title = "was it sent?"
    parameter_name = "sent"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "failed": ("no, it failed", Q(sent_at=None) & ~Q(error="")),
            "waiting": ("not yet", Q(sent_at=None, error="")),
            "yes": ("yes", Q(sent_at__isnull=False)),
        }


@admin.register(OutboxMail)
class OutboxAdmin(StaffAdmin):
    list_display = ("subject", "recipient", "sent", "written")
    list_display_links = ("subject",)
    list_filter = (WasItSent, filters.when("created_at"))
    search_fields = ("recipient", "subject")
    search_help_text = "Recipient or subject"
    ordering = ("-created_at",)
    fields = readonly_fields = (
        "recipient",
        "subject",
        "written_exactly",
        "sent",
        "problem",
        "text",
    )

    @admin.display(description="sent", ordering="sent_at")
    def sent(self, mail: OutboxMail) -> str:
        if mail.sent_at and not settings.EMAIL_URL:
            return badges.badge("kept here", badges.CALM, "Without EMAIL_URL nothing is sent.")
        if mail.sent_at:
            return badges.badge("sent", badges.GOOD)
        if mail.error:
            return badges.badge("failed", badges.BAD, mail.error)
        return badges.badge("waiting", badges.CALM)

    @admin.display(description="written", ordering="created_at")
    def written(self, mail: OutboxMail) -> str:
        return ago(mail.created_at)

    @admin.display(description="written")
    def written_exactly(self, mail: OutboxMail) -> str:
        return exactly(mail.created_at)

    @admin.display(description="problem")
    def problem(self, mail: OutboxMail) -> str:
        return mail.error or "none"

    @admin.display(description="text")
    def text(self, mail: OutboxMail) -> str:
        """Links in mail are credentials, so in production they are nobody's to read."""
        if settings.PRODUCTION or settings.EMAIL_URL:
            return "Kept only until it is sent, and shown to nobody: it may hold a sign-in link."
        return format_html('<pre class="staff-mail">{}</pre>', linked(mail.body))
