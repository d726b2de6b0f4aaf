"""States as coloured words. A colour never stands alone: the word says the same."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.html import format_html

from billing import subscription
from billing.models import BillingState, Subscription
from relay.status import STALE_AFTER
from tenants.models import Organisation, Runtime, State

GOOD, WARN, BAD, CALM, QUIET = "good", "warn", "bad", "calm", "quiet"

STATES: Final[dict[str, str]] = {
    State.REQUESTED: CALM,
    State.EXPIRED: QUIET,
    State.PROVISIONING: CALM,
    State.FAILED: BAD,
    State.ACTIVE: GOOD,
    State.SUSPENDED: WARN,
    State.PENDING_DELETION: WARN,
    State.PURGING: WARN,
    State.DELETED: QUIET,
}


def badge(text: str, tone: str, title: str = "") -> str:
    """`title` is shown on hover and says why."""
    return format_html(
        '<span class="staff-badge staff-{}" title="{}">{}</span>',
        tone,
        title,
        text[:1].upper() + text[1:],
    )


def of_state(organisation: Organisation) -> str:
    title = ""
    if organisation.state == State.SUSPENDED:
        title = f"by {organisation.get_suspended_by_display()}: {organisation.suspend_reason}"
    elif organisation.state == State.FAILED:
        title = organisation.failure
    return badge(organisation.get_state_display(), STATES[organisation.state], title)


def since(organisation: Organisation) -> datetime:
    """When its state began, where that is known; else when it was asked for."""
    moments = {
        State.SUSPENDED: organisation.suspended_at,
        State.PENDING_DELETION: organisation.deletion_requested_at,
        State.PURGING: organisation.deletion_requested_at,
        State.DELETED: organisation.deleted_at,
    }
    return moments.get(State(organisation.state)) or organisation.created_at


def of_relay(organisation: Organisation) -> str:
    """Whether a phone could reach it now; needs `registration` and `relay_status` selected."""
    word, tone, title = relay_words(organisation)
    return badge(word, tone, title) if word else "–"


def relay_words(organisation: Organisation) -> tuple[str, str, str]:
    """(word, tone, explanation); empty words for an organisation that is not meant to be reached."""
    if organisation.state != State.ACTIVE:
        return "", "", ""
    if not hasattr(organisation, "registration"):
        return "no registration", BAD, "No phone can reach it: provisioning left no registration."
    if organisation.runtime == Runtime.EXTERNAL:
        return "external", CALM, "A runtime of the customer's own serves it."
    status = getattr(organisation, "relay_status", None)
    if status is None:
        return "never seen", BAD, "The built-in runtime has not reported this organisation."
    if timezone.now() - status.seen_at > STALE_AFTER:
        return "silent", BAD, "The built-in runtime has not reported for 45 seconds or more."
    if not status.connected:
        return "not connected", BAD, status.last_error or "The runtime is trying to connect."
    phones = status.active_channels
    return "connected", GOOD, f"{phones} phone{'' if phones == 1 else 's'} connected now."


def of_billing(billing: BillingState | None, now: datetime | None = None) -> str:
    if billing is None:
        return "–"
    now = now or timezone.now()
    live = subscription.is_live(billing, now)
    tones = {Subscription.GRACE: WARN, Subscription.TRIAL: CALM}
    tone = tones.get(Subscription(billing.subscription_state), GOOD) if live else BAD
    text = (
        billing.subscription_state if live or not subscription.on_trial(billing) else "trial over"
    )
    return badge(text, tone, "Opens the organisation." if live else "The door answers 402.")
