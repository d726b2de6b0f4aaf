"""What each check of the door tells staff about its refusal: why it refuses now, and what lifts it.

A check carries its own advice (`explained`), so that whoever adds one says how it is lifted;
`tenants.why` puts the checks' questions and reads it. Nothing here is ever shown to a customer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.conf import settings
from django.utils import timezone

from tenants import states
from tenants.models import Organisation, Removal, State, SuspendedBy, User

_Check = TypeVar("_Check", bound=Callable[..., None])
# Which command of `manage.py organisation` undoes which state.
_COMMAND: Final = "manage.py organisation {verb} {label} --reason …"
_ASKED_BY: Final = {"owner": "its owner", "platform": "staff", "billing": "billing"}


@dataclass(frozen=True)
class Asked:
    """About which organisation and for whom the checks are asked; None: nobody owns it."""

    organisation: Organisation
    person: User | None


@dataclass(frozen=True)
class Advice:
    """`because` is a fact, `lift` what to do; `command` does it and is empty where none can."""

    because: str
    lift: str
    command: str = ""


Advise = Callable[[Asked, str], Advice]


def explained(title: str, advise: Advise) -> Callable[[_Check], _Check]:
    """Names a check for staff (`title` is what is so when it passes), and its advice.

    `advise(asked, code)` gets the code that the check refused with. It must not raise.
    """

    def explain(check: _Check) -> _Check:
        check.title, check.advise = title, advise  # type: ignore[attr-defined]
        return check

    return explain


def title_of(check: Any) -> str:
    return str(getattr(check, "title", "") or getattr(check, "__name__", check))


def advice_of(check: Any, asked: Asked, code: str) -> Advice:
    advise: Advise | None = getattr(check, "advise", None)
    if advise is None:
        return Advice(f"It refuses with {code}.", "Nobody wrote down what lifts this.")
    return advise(asked, code)


# --- of the checks that stand in this room ------------------------------------------------------


def hosted_mode(asked: Asked, code: str) -> Advice:
    return Advice(
        "Hosted mode is off, for all organisations: their hosts answer 404. Nothing is lost.",
        "Set PULSE_HOSTED_MODE to exactly true and restart every process.",
        "manage.py hosted_routes --check on",
    )


def credentials(asked: Asked, code: str) -> Advice:
    """Why a signed-in owner (or `person`) is taken for nobody."""
    organisation, person = asked.organisation, asked.person
    if organisation.state in (State.DELETED, State.EXPIRED):
        return Advice(
            f"It is {_said(organisation)}: its host answers as if it had never been there.",
            "Nothing lifts this, and its label is not given out again."
            if organisation.state == State.DELETED
            else "Its mailbox was never proved in time. They can sign up again, label included.",
        )
    if person is None:
        return Advice(
            "It has no owner, so nobody was there to ask for.",
            "Give it an owner; until then look at it for one of its members.",
        )
    if not person.is_active:
        return Advice(
            f"The account of {person} is closed, so their sessions and tokens are refused.",
            "Open the account again on that person's page, under Users.",
        )
    return Advice("Nobody is signed in.", "They sign in on the base domain.")


def membership(asked: Asked, code: str) -> Advice:
    if code == "sso_required":
        return Advice(
            f"It takes members by single sign-on only, and {asked.person} has no identity there.",
            "They sign in once through the organisation's provider; or its owner, who may always "
            "come by the base domain, ends the requirement in its single sign-on settings.",
        )
    return Advice(
        f"{asked.person or 'Whoever asks'} is not a member of it.",
        "Its owner or an admin of it invites them on its People page.",
    )


def limit(asked: Asked, code: str) -> Advice:
    if code == "credential_rate_limit_exceeded":
        return Advice(
            f"{asked.person} made {settings.REQUESTS_PER_CREDENTIAL} requests in it within a "
            "minute. Others in it are served.",
            "It ends by itself within a minute, once they ask less often.",
        )
    most = asked.organisation.requests_per_minute or settings.REQUESTS_PER_ORGANISATION
    return Advice(
        f"It used up its {most} requests a minute, all its people and tokens together.",
        "It ends by itself within a minute. If it comes back, look for the busy token under "
        "People and revoke it, or suspend the organisation.",
    )


def state(asked: Asked, code: str) -> Advice:
    """What stands between an organisation and being active."""
    organisation = asked.organisation
    advise = _BY_STATE.get(organisation.state)
    if advise is None:
        return Advice(f"It is {_said(organisation)}.", "Nothing lifts this.")
    return advise(organisation)


def schema(asked: Asked, code: str) -> Advice:
    label = asked.organisation.label
    return Advice(
        "Its schema cannot be read: it is not there, or the database does not answer. People and "
        "phones get 503, so phones keep their pairing.",
        "If other organisations are served, its data is gone: bring back the last backup.",
        f"manage.py org_restore {label} --dry-run",
    )


def _suspended(organisation: Organisation) -> Advice:
    since = organisation.suspended_at
    when = f" on {since:%Y-%m-%d at %H:%M} UTC" if since else ""
    why = f": {organisation.suspend_reason}" if organisation.suspend_reason else ""
    lift = {
        SuspendedBy.OWNER: "Its owner can lift it on the base domain; so can staff.",
        SuspendedBy.BILLING: "A payment lifts it by itself; staff can lift it at once.",
    }.get(SuspendedBy(organisation.suspended_by or "platform"), "Only staff can lift it.")
    by = str(organisation.get_suspended_by_display() or "platform").lower()
    return Advice(f"It was suspended by {by}{when}{why}", lift, _command("lift", organisation))


def _pending_deletion(organisation: Organisation) -> Advice:
    removal = Removal.objects.filter(organisation=organisation).first()
    asker = _ASKED_BY.get(removal.requested_by if removal else "", "somebody")
    due = states.due_at(organisation)
    if due is not None and due <= timezone.now():
        return Advice(
            f"{asker.capitalize()} asked for its deletion, and its time was over on "
            f"{due:%Y-%m-%d at %H:%M} UTC: the reaper takes it up at its next round.",
            "As long as that has not begun staff can put it off, and then cancel the deletion.",
            f"manage.py reaper {organisation.label} --put-off 7 --reason …",
        )
    when = f" Its data is kept until {due:%Y-%m-%d at %H:%M} UTC." if due else ""
    who = "its owner or staff" if removal and removal.requested_by == "owner" else "only staff"
    return Advice(
        f"{asker.capitalize()} asked for its deletion.{when}",
        f"Until then {who} can cancel the deletion, which puts it back as it was.",
        _command("undelete", organisation),
    )


def _purging(organisation: Organisation) -> Advice:
    return Advice("Its data is being deleted now.", "Nothing brings it back but a backup.")


def _failed(organisation: Organisation) -> Advice:
    why = f": {organisation.failure}" if organisation.failure else "."
    return Advice(
        f"Setting it up failed {organisation.attempts} times, and all of it was undone{why}",
        "Look at its provisioning steps, put right what they say, then provision it again.",
    )


def _provisioning(organisation: Organisation) -> Advice:
    waiting = max(timezone.now() - organisation.changed_at, timedelta(0))
    return Advice(
        f"It is being set up, attempt {max(1, organisation.attempts)}, "
        f"for {int(waiting.total_seconds())} s by now.",
        "Wait; if it takes minutes, see whether the worker runs and what the steps say.",
    )


def _requested(organisation: Organisation) -> Advice:
    return Advice(
        f"{organisation.owner_email} has not proved the mailbox yet.",
        "They open the link in their mail and press the button. If none came, look at the Outbox, "
        "or they sign up again, which mails another.",
    )


def _said(organisation: Organisation) -> str:
    return str(organisation.get_state_display()).lower()


def _command(verb: str, organisation: Organisation) -> str:
    return _COMMAND.format(verb=verb, label=organisation.label)


_BY_STATE: Final[dict[str, Callable[[Organisation], Advice]]] = {
    State.SUSPENDED: _suspended,
    State.PENDING_DELETION: _pending_deletion,
    State.PURGING: _purging,
    State.FAILED: _failed,
    State.PROVISIONING: _provisioning,
    State.REQUESTED: _requested,
}
