"""The door's entitlement check (hosted-contract sections 1.2 and 7.3)."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from billing import subscription
from billing.models import BillingState
from tenants import advice
from tenants.door import Knock, Refused, about_the_organisation


def _lift(asked: advice.Asked, code: str) -> advice.Advice:
    billing: BillingState | None = getattr(asked.organisation, "billing", None)
    if billing is None:
        return advice.Advice(
            "It has no billing state, which counts as not paid; provisioning makes one.",
            "Look at its provisioning steps: the trial step did not run.",
        )
    if code == "license_required":
        return advice.Advice(
            f"Its plan {billing.plan_version} lacks what this page needs.",
            "Its owner takes a plan that includes it.",
        )
    if subscription.on_trial(billing):
        ended = billing.trial_ends_at
        when = f"ended on {ended:%Y-%m-%d at %H:%M} UTC" if ended else "has no end on record"
        return advice.Advice(
            f"Nothing is paid, and its trial {when}.",
            "Its owner starts a subscription on the base domain, where billing stays open.",
        )
    return advice.Advice(
        f"Its subscription is {subscription.describe(billing, timezone.now())}.",
        "Its owner pays what is due on the base domain, where billing stays open.",
    )


@advice.explained("It is paid for, or on trial", _lift)
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
