"""What staff may do to an organisation, and what they are told before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.actors import Actor
from pulsecloud.staff.verbs import Verb, VerbRefused
from tenants import lifecycle, provisioning
from tenants.models import Organisation, State, SuspendedBy
from tenants.states import TransitionRefused


def _suspend(organisation: Organisation, actor: Actor, reason: str) -> None:
    _refusable(
        lambda: lifecycle.suspend(
            organisation=organisation, by=SuspendedBy.PLATFORM, actor=actor, reason=reason
        )
    )


def _lift(organisation: Organisation, actor: Actor, reason: str) -> None:
    _refusable(
        lambda: lifecycle.unsuspend(
            organisation=organisation, by=SuspendedBy.PLATFORM, actor=actor, reason=reason
        )
    )


def _again(organisation: Organisation, actor: Actor, reason: str) -> None:
    _refusable(lambda: provisioning.retry(organisation=organisation, actor=actor, reason=reason))


def _refusable(call: Callable[[], object]) -> None:
    try:
        call()
    except TransitionRefused as refused:
        raise VerbRefused(str(refused)) from refused


def _unless(*states: str) -> Callable[[Any], str]:
    def unfit(organisation: Any) -> str:
        return "" if organisation.state in states else f"is {organisation.get_state_display()}"

    return unfit


SUSPEND = Verb(
    name="suspend",
    title="Suspend",
    done="Suspended",
    permission="tenants.change_organisation",
    consequences=(
        "Its pages and its API answer 403 at once; its people can still sign in on the base "
        "domain, and see that it is suspended and why.",
        "Phones are disconnected within seconds and cannot connect. They stay paired: lifting "
        "the suspension is enough to bring them back.",
        "An external runtime keeps its credentials and gets no new lease.",
        "Only staff can lift it. The owner cannot.",
    ),
    unfit=_unless(State.ACTIVE),
    run=_suspend,
    icon="pause_circle",
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
    run=_lift,
    icon="play_circle",
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
ALL = (SUSPEND, LIFT, PROVISION_AGAIN)
