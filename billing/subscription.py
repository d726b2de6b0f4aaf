"""Whether a billing state opens the doors (hosted-contract sections 7.3 and 13.1)."""

from __future__ import annotations

from datetime import datetime

from billing.models import BillingState, Subscription

PAID = (Subscription.ACTIVE, Subscription.GRACE)


def on_trial(billing: BillingState) -> bool:
    return billing.subscription_state == Subscription.TRIAL


def is_live(billing: BillingState, now: datetime) -> bool:
    """Active, in grace, or a trial whose end is known and in the future.

    A trial without an end is not live: it would never end (F59).
    """
    if on_trial(billing):
        return billing.trial_ends_at is not None and now < billing.trial_ends_at
    return billing.subscription_state in PAID


def describe(billing: BillingState, now: datetime) -> str:
    """The state in a word or two, for messages and lists."""
    if on_trial(billing) and not is_live(billing, now):
        return "a trial that is over"
    return str(billing.get_subscription_state_display()).lower()
