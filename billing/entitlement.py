"""The door's entitlement check (hosted-contract sections 1.2 and 7.3)."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from billing import subscription
from billing.models import BillingState
from tenants.door import Knock, Refused, about_the_organisation


@about_the_organisation
def entitled(knock: Knock) -> None:
    """Passes a live subscription that holds the capability which the view declared.

    Raises Refused: 402 `subscription_required` when nothing is paid and no trial runs, 402
    `license_required` when the plan lacks the capability. No billing state counts as not paid.
    """
    # Read with the organisation's row at the start of this very request.
    billing: BillingState | None = getattr(knock.known_organisation, "billing", None)
    if billing is None or not subscription.is_live(billing, timezone.now()):
        raise Refused(
            402,
            "subscription_required",
            "This organisation has no running subscription. Its owner can start one.",
        )
    wanted = knock.requirement.capability
    if wanted and wanted not in billing.capabilities:
        raise Refused(
            402,
            "license_required",
            f"This organisation's plan does not include {wanted}.",
            body={"feature": wanted, "upgrade_url": f"{settings.PUBLIC_URL}/"},
        )
