"""What staff can do to the rollout, and the forms that ask before it is done.

Raising, opening sign-ups again, caps and vouching ask for a recent sign-in and a reason. Lowering
and stopping ask for neither: nobody shall look for a password while something burns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from audit.actors import Actor
from tenants.models import Stage, User
from tenants.rollout import attestations, conditions, signups, stages
from tenants.rollout.stages import RolloutRefused

AUDIENCES: Final = {
    Stage.DEV: "The team, by invitation.",
    Stage.PRIVATE_BETA: "Invited organisations only.",
    Stage.PUBLIC_BETA: "Whoever signs up, up to its cap.",
    Stage.GA: "Everybody.",
}


class ActForm(forms.Form):
    """A reason, and what else the act asks for."""

    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept in the audit trail.",
    )

    def __init__(self, act: Act, what: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].required = act.reason_needed
        fields = dict(self.fields)
        self.fields.clear()
        for name, made in act.fields(what).items():
            self.fields[name] = made
        self.fields.update(fields)


@dataclass(frozen=True)
class Act:
    """A button of the page. `run(what, person, actor, data)` raises RolloutRefused; `consequences`,
    `fields` and `seen` are asked with the stage or condition that it is about.

    `seen` is what the decision is about: the page carries it, and when it is something else by the
    time of the decision, whoever decides is shown what it is now. What must always work has none.
    """

    title: Callable[[str], str]
    done: Callable[[str], str]
    consequences: Callable[[str], Sequence[str]]
    run: Callable[[str, User, Actor, dict[str, Any]], object]
    fields: Callable[[str], dict[str, forms.Field]] = field(default=lambda what: {})
    confirmed: bool = True
    reason_needed: bool = True
    dangerous: bool = False
    button: str = ""  # shorter than the title, where that is a sentence
    kind: str = ""  # what it is about: a stage, a condition, or nothing
    seen: Callable[[str], str] = field(default=lambda what: "")

    def known(self, what: str) -> bool:
        """Whether an address names something that this can be about."""
        if self.kind == "stage":
            return what in Stage.values
        if self.kind == "condition":
            rule = conditions.BY_NAME.get(what)
            return rule is not None and rule.good_for is not None
        return what == "-"


def _raise(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return stages.raise_stage(to=Stage(what), actor=actor, by=person, reason=data["reason"])


def _lower(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return stages.lower_stage(to=Stage(what), actor=actor, by=person, reason=data["reason"])


def _stop(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return signups.stop(actor=actor, reason=data["reason"])


def _start(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return signups.start(actor=actor, reason=data["reason"])


def _set_cap(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    cap = None if data["no_cap"] else data["cap"]
    if cap is None and not data["no_cap"]:
        raise RolloutRefused("invalid_cap", "Give a number, or choose that there is no cap.")
    return stages.set_cap(stage=Stage(what), cap=cap, actor=actor, reason=data["reason"])


def _attest(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return attestations.attest(
        condition=what, actor=actor, by=person, reason=data["reason"], days=data["days"]
    )


def _withdraw(what: str, person: User, actor: Actor, data: dict[str, Any]) -> object:
    return attestations.withdraw(condition=what, actor=actor, reason=data["reason"])


def _since(what: str) -> str:
    """Up and down again is not the stage that the page was about, although it has its name."""
    rollout = stages.row()
    return "" if rollout._state.adding else rollout.stage_since.isoformat()


def _stopped(what: str) -> str:
    at = stages.row().signups_stopped_at
    return at.isoformat() if at else "open"


def _cap(what: str) -> str:
    return str(stages.cap_of(stages.row(), what))


def _vouched(what: str) -> str:
    newest = attestations.living(what).order_by("-pk").first()
    return str(newest.pk) if newest else "nobody"


def _cap_fields(what: str) -> dict[str, forms.Field]:
    now = stages.cap_of(stages.row(), what)
    return {
        "cap": forms.IntegerField(
            label="Organisations at most", required=False, min_value=0, max_value=stages.MOST,
            initial=now, widget=UnfoldAdminIntegerFieldWidget(),
        ),
        "no_cap": forms.BooleanField(
            label="No cap", required=False, initial=now is None,
            widget=UnfoldBooleanSwitchWidget(), help_text="Then the number above does not count.",
        ),
    }  # fmt: skip


def _attest_fields(what: str) -> dict[str, forms.Field]:
    most = attestations.longest(attestations.attestable(what))
    return {
        "days": forms.IntegerField(
            label="Good for days", min_value=1, max_value=most, initial=most,
            widget=UnfoldAdminIntegerFieldWidget(),
            help_text=f"{most} at most; then somebody has to look again.",
        )
    }  # fmt: skip


def _who_comes(stage: str) -> str:
    cap = stages.cap_of(stages.row(), stage)
    capped = "" if stage == Stage.DEV else f" Its cap is {cap}." if cap is not None else " No cap."
    return AUDIENCES[Stage(stage)] + capped


ACTS: Final = {
    "raise": Act(
        title=lambda what: f"Open {stages.words(what)}",
        done=lambda what: f"The stage is {stages.words(what)}.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(what)}",
            "Every condition is looked at again before it happens, and what they showed is kept.",
            "You can go back at any time.",
        ),
        run=_raise,
        seen=_since,
        kind="stage",
    ),
    "lower": Act(
        title=lambda what: f"Go back to {stages.words(what)}",
        done=lambda what: f"The stage is {stages.words(what)}.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(what)}",
            "It counts at once. Sign-ups without an invitation whose mailbox is not proved yet are "
            "turned away, if this stage asks for one.",
            "Organisations that are there stay as they are.",
            "To come back here, every condition has to be met again.",
        ),
        run=_lower,
        confirmed=False,
        reason_needed=False,
        dangerous=True,
        kind="stage",
    ),
    "stop": Act(
        title=lambda what: "Stop sign-ups",
        done=lambda what: "Sign-ups are stopped.",
        consequences=lambda what: (
            "Nobody can sign up or prove a mailbox from now on, invited or not; they are told to try "
            "again later. Invitations and links stay good until they expire.",
            "Organisations that are there, or are being set up, go on.",
            "Proofs and drills still run: their canaries pass.",
        ),
        run=_stop,
        confirmed=False,
        reason_needed=False,
        dangerous=True,
    ),
    "start": Act(
        title=lambda what: "Open sign-ups again",
        done=lambda what: "People can sign up again.",
        consequences=lambda what: (
            f"Who may sign up from now on: {_who_comes(stages.current())}",
            "If the stop had a cause, is it gone?",
        ),
        run=_start,
        seen=_stopped,
    ),
    "cap": Act(
        title=lambda what: f"Change the cap of {stages.words(what)}",
        done=lambda what: f"The cap of {stages.words(what)} is changed.",
        consequences=lambda what: (
            f"{signups.present()} organisations count at the moment; canaries and requests whose "
            "mailbox is not proved do not.",
            "A cap below that sends nobody away; it lets nobody in.",
        ),
        run=_set_cap,
        button="Change the cap",
        seen=_cap,
        fields=_cap_fields,
        kind="stage",
    ),
    "attest": Act(
        title=lambda what: f"Vouch for “{conditions.BY_NAME[what].title}”",
        done=lambda what: f"You vouch for {what}.",
        consequences=lambda what: (
            "Your name and your words stand on the checklist and in the audit trail.",
            "It counts only while the software cannot see for itself.",
        ),
        run=_attest,
        button="Vouch for it",
        seen=_vouched,
        fields=_attest_fields,
        kind="condition",
    ),
    "withdraw": Act(
        title=lambda what: f"Withdraw “{conditions.BY_NAME[what].title}”",
        done=lambda what: f"Nobody vouches for {what} any more.",
        consequences=lambda what: (
            "The condition is missing from now on. The stage stays as it is until somebody "
            "lowers it.",
        ),
        run=_withdraw,
        button="Withdraw",
        confirmed=False,
        reason_needed=False,
        kind="condition",
    ),
}
