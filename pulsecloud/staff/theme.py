"""Unfold's configuration: the brand's calm teal and a menu ordered by what operators ask."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": lambda request: request.user.has_perm(
            f"{model.split('_')[0]}.view_{model.split('_', 1)[1]}"
        ),
    }


def environment(request: HttpRequest) -> list[str] | None:
    """A badge beside the title: nobody should mistake one installation for the other."""
    from django.conf import settings

    return ["Production", "danger"] if settings.PRODUCTION else ["Development", "info"]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "PulseCloud staff",
    "SITE_HEADER": "PulseCloud",
    "SITE_SUBHEADER": "Staff",
    "SITE_SYMBOL": "sensors",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("pulsecloud/logo.svg")}
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ACCOUNT": {
        "navigation": [
            {"title": "Your account", "link": "/accounts/"},
            {"title": "Two-factor sign-in", "link": reverse_lazy("mfa_index")},
            {"title": "Change password", "link": reverse_lazy("account_change_password")},
        ]
    },
    "ENVIRONMENT": "pulsecloud.staff.theme.environment",
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda request: static("pulsecloud/staff.css")],
    "COLORS": {
        "base": {
            "50": "oklch(98.4% .004 200)",
            "100": "oklch(96.4% .006 200)",
            "200": "oklch(92.2% .010 200)",
            "300": "oklch(86.6% .014 202)",
            "400": "oklch(70.2% .022 205)",
            "500": "oklch(55.0% .026 207)",
            "600": "oklch(44.4% .028 208)",
            "700": "oklch(36.8% .030 209)",
            "800": "oklch(27.2% .028 209)",
            "900": "oklch(20.6% .024 210)",
            "950": "oklch(14.0% .018 210)",
        },
        "primary": {
            "50": "#eef9f7",
            "100": "#d8f1ed",
            "200": "#b2e3dc",
            "300": "#83cfc6",
            "400": "#4fb3a9",
            "500": "#25978d",
            "600": "#0b746f",
            "700": "#0a625e",
            "800": "#0c4f4c",
            "900": "#0c403e",
            "950": "#042726",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Overview",
                        "icon": "monitoring",
                        "link": reverse_lazy("admin:index"),
                    }
                ]
            },
            {
                "title": "Customers",
                "items": [
                    _page("Organisations", "apartment", "tenants_organisation"),
                    _page("Users", "group", "tenants_user"),
                    _page("Sign-on providers", "key_visualizer", "tenants_ssoprovider"),
                    _page("Sign-on people", "badge", "tenants_ssoidentity"),
                ],
            },
            {
                "title": "Who may come",
                "items": [
                    {
                        "title": "Rollout",
                        "icon": "rocket_launch",
                        "link": reverse_lazy("admin:tenants_rollout"),
                        "permission": lambda request: request.user.has_perm("tenants.view_rollout"),
                    },
                    _page("Invitations", "mail", "tenants_invitation"),
                ],
            },
            {
                "title": "Their data",
                "items": [
                    _page("Backups", "backup", "tenants_backup"),
                    _page("Removals", "auto_delete", "tenants_removal"),
                    _page("Deletion receipts", "receipt_long", "tenants_deletionreceipt"),
                ],
            },
            {
                "title": "Reachability",
                "items": [
                    _page("Readiness records", "verified", "tenants_readinessrecord"),
                    _page("Relay registrations", "sensors", "relay_registration"),
                ],
            },
            {
                "title": "Entitlement",
                "items": [
                    _page("Billing states", "payments", "billing_billingstate"),
                    _page("Leases", "badge", "billing_lease"),
                    _page("Signing keys", "key", "billing_signingkey"),
                ],
            },
            {
                "title": "Operation",
                "items": [
                    _page("Audit trail", "history", "audit_event"),
                    _page("Seals", "lock_clock", "audit_batch"),
                    _page("Jobs", "work_history", "procrastinate_procrastinatejob"),
                    _page("Outbox", "outbox", "tenants_outboxmail"),
                ],
            },
        ],
    },
}
