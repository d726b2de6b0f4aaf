"""What staff may do to an organisation, and what they are told before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from audit.actors import Actor
from pulsecloud.staff.backup_verbs import BACK_UP
from pulsecloud.staff.verbs import Verb, VerbRefused
from tenants import lifecycle, provisioning
from tenants.models import Organisation, State, SuspendedBy
from tenants.models.organisations import RETENTION_DAYS, RETENTION_LEAST, RETENTION_MOST
from tenants.states import TransitionRefused, due_at


def _decides(verb: Callable[..., Organisation]) -> Callable[..., None]:
    """A life-cycle verb as the platform, on an organisation as its page showed it."""

    def run(organisation: Organisation, actor: Actor, reason: str, **more: Any) -> None:
        _refusable(
            lambda: verb(
                organisation=organisation,
                by=SuspendedBy.PLATFORM,
                actor=actor,
                reason=reason,
                seen=organisation.state,
                **more,
            )
        )

    return run


def _again(organisation: Organisation, actor: Actor, reason: str) -> None:
    _refusable(lambda: provisioning.retry(organisation=organisation, actor=actor, reason=reason))


def _refusable(call: Callable[[], object]) -> None:
    try:
        call()
    except TransitionRefused as refused:
        raise VerbRefused(str(refused)) from refused


def _unless(*states: str) -> Callable[[Any], str]:
    def unfit(organisation: Any) -> str:
        if organisation.state in states:
            return ""
        return f"is {organisation.get_state_display().lower()}"

    return unfit


def _not_restorable(organisation: Any) -> str:
    if why := _unless(State.PENDING_DELETION)(organisation):
        return why
    due = due_at(organisation)
    return "" if due and due > timezone.now() else "is past its retention and being deleted"


def _ours(organisation: Any) -> str:
    if why := _unless(State.SUSPENDED)(organisation):
        return why
    by_us = organisation.suspended_by == SuspendedBy.PLATFORM
    return "is suspended by the platform already" if by_us else ""


def _state(organisation: Any) -> str:
    """What the decision on a page was made about."""
    return str(organisation.state)


def _retention() -> dict[str, forms.Field]:
    return {
        "retention_days": forms.IntegerField(
            label="Keep it for this many days",
            initial=RETENTION_DAYS,
            min_value=RETENTION_LEAST,
            max_value=RETENTION_MOST,
            widget=UnfoldAdminIntegerFieldWidget(),
            help_text=f"{RETENTION_LEAST} to {RETENTION_MOST}. It can be restored for so long.",
        )
    }


SUSPEND = Verb(
    name="suspend",
    title="Suspend",
    done="Suspended",
    permission="tenants.change_organisation",
    consequences=(
        "Its pages and its API answer 403 at once; its people can still sign in on the base "
        "domain, and see that it is suspended, and by whom.",
        "Phones are disconnected within seconds and cannot connect. They stay paired: lifting "
        "the suspension is enough to bring them back.",
        "An external runtime keeps its credentials and gets no new lease.",
        "Only staff can lift it. The owner cannot.",
    ),
    unfit=_unless(State.ACTIVE),
    seen=_state,
    run=_decides(lifecycle.suspend),
    icon="pause_circle",
    reason_needed=True,
    dangerous=True,
)
TAKE_OVER = Verb(
    name="take_over",
    title="Take over suspension",
    done="Suspended by the platform",
    permission="tenants.change_organisation",
    consequences=(
        "It stays suspended as it is; nothing changes for its people and phones.",
        "From then on only staff can lift it. Whoever suspended it, such as its owner, cannot.",
    ),
    unfit=_ours,
    seen=_state,
    run=_decides(lifecycle.take_over),
    icon="front_hand",
    reason_needed=True,
    dangerous=True,
)
LIFT = Verb(
    name="lift",
    title="Lift suspension",
    done="Active again",
    permission="tenants.change_organisation",
    consequences=(
        "Its pages and its API open again.",
        "The built-in runtime connects within seconds, and paired phones reach it as before.",
        "This also lifts a suspension that its owner or billing asked for.",
    ),
    unfit=_unless(State.SUSPENDED),
    seen=_state,
    run=_decides(lifecycle.unsuspend),
    icon="play_circle",
)
DELETE = Verb(
    name="soft_delete",
    title="Delete",
    done="Will be deleted",
    permission="tenants.change_organisation",
    consequences=(
        "Its pages and its API answer 403 at once, and its phones are disconnected within seconds; "
        "its people are told on the base domain that it is to be deleted, and when.",
        "Until its retention is over nothing is removed and phones stay paired: Restore puts back "
        "what it was. Its owner can take its data out, and cannot cancel what staff asked for.",
        "Then its schema, tokens, registration, billing and memberships are removed for good. Its "
        "label is never given out again.",
    ),
    unfit=_unless(State.ACTIVE, State.SUSPENDED),
    seen=_state,
    run=_decides(lifecycle.soft_delete),
    fields=_retention,
    icon="delete_forever",
    reason_needed=True,
    dangerous=True,
)
RESTORE = Verb(
    name="restore",
    title="Restore",
    done="Restored",
    permission="tenants.change_organisation",
    consequences=(
        "It is again what it was when its deletion was asked for: active, or suspended by whom and "
        "why it was.",
        "If it was active its pages and its API open again, and paired phones reach it as before.",
        "This also cancels a deletion that its owner asked for.",
    ),
    unfit=_not_restorable,
    seen=_state,
    run=_decides(lifecycle.restore),
    icon="restore_from_trash",
    reason_needed=True,
)
PROVISION_AGAIN = Verb(
    name="provision",
    title="Provision again",
    done="Will be provisioned",
    permission="tenants.change_organisation",
    consequences=(
        "All steps run again from the first; what the last attempt had made was undone then.",
        "The worker takes it up at once. Look at the steps on its page.",
    ),
    unfit=_unless(State.FAILED),
    run=_again,
    icon="replay",
)
ALL = (SUSPEND, TAKE_OVER, LIFT, BACK_UP, DELETE, RESTORE, PROVISION_AGAIN)
