"""The door's entitlement check (hosted-contract sections 1.2 and 7.3)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from billing import subscription
from billing.models import BillingState
from tenants.door import Knock, Refused


def entitled(knock: Knock) -> None:
    """Passes a live subscription that holds the capability which the view declared.

    Raises Refused: 402 `subscription_required` when nothing is paid and no trial runs, 402
    `license_required` when the plan lacks the capability. No billing state counts as not paid.
    """
    if knock.organisation is None:
        return
    billing = BillingState.objects.filter(organisation=knock.organisation).first()
    if billing is None or not subscription.is_live(billing, timezone.now()):
        raise _refused(
            "subscription_required",
            "This organisation has no running subscription. Its owner can start one.",
        )
    wanted = knock.requirement.capability
    if wanted and wanted not in billing.capabilities:
        raise _refused(
            "license_required",
            f"This organisation's plan does not include {wanted}.",
            feature=wanted,
            upgrade_url=f"{settings.PUBLIC_URL}/",
        )


def _refused(code: str, message: str, **more: str) -> Refused:
    body: dict[str, Any] = {"error": code, "message": message, **more}
    return Refused(402, code, message, body=body)
