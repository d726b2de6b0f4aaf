"""`manage.py rollout`: who may come, and what keeps the next stage shut."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.timesince import timesince

from audit.actors import Actor
from tenants.models import Stage
from tenants.rollout import attestations, conditions, signups, stages
from tenants.rollout.conditions import Condition
from tenants.rollout.evidence import Look
from tenants.rollout.stages import ConditionsUnmet, RolloutRefused

ACTOR = Actor.system("manage.py rollout")


class Command(BaseCommand):
    help = (
        "Shows and changes the rollout stage: dev, private_beta, public_beta, ga. Raising goes one "
        "step at a time, while all conditions of the next stage are met; lowering is always "
        "allowed and counts at once. Exit code 0: done. 1: refused; nothing was changed, and what "
        "is missing is printed. 2: wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

        def add(name: str, words: str, *, reason: bool = True) -> ArgumentParser:
            made: ArgumentParser = verbs.add_parser(name, help=words, description=words)
            if name != "show":
                made.add_argument("--reason", required=reason, default="", help="for the trail")
            made.add_argument("--json", action="store_true", help="print one JSON object")
            return made

        add("show", "the stage, caps, and every condition of every stage with its evidence")
        raising = add("raise", "open the next stage")
        raising.add_argument("stage")
        raising.add_argument("--dry-run", action="store_true", help="only say what is missing")
        add("lower", "go back to an earlier stage at once", reason=False).add_argument("stage")
        add("stop", "let nobody sign up from now on", reason=False)
        add("start", "let people sign up again")
        attest = add("attest", "vouch for a condition that the software cannot see")
        attest.add_argument("condition")
        attest.add_argument("--days", type=int, help="for so long; as long as allowed by default")
        attest.add_argument("--withdraw", action="store_true", help="take it back")
        cap = add("cap", "how many organisations there may be in a stage")
        cap.add_argument("stage")
        cap.add_argument("number", help="a whole number, or `none`")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said, facts = getattr(self, f"_{options['verb']}")(**options)
        except ConditionsUnmet as unmet:
            if options["json"]:
                self._print({"done": False, "code": unmet.code, "missing": _json(unmet.missing)})
            raise CommandError("\n".join([str(unmet), *map(_words, unmet.missing)])) from None
        except RolloutRefused as refused:
            if options["json"]:
                self._print({"done": False, "code": refused.code})
            raise CommandError(str(refused)) from None
        if options["json"]:
            self._print(facts)
        else:
            self.stdout.write(said)

    def _print(self, facts: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(facts, default=str))

    def _show(self, **_: Any) -> tuple[str, dict[str, Any]]:
        rollout, look, present = stages.row(), Look(), signups.present()
        stage, following = Stage(rollout.stage), stages.after(Stage(rollout.stage))
        found = {each: conditions.evaluate(each, look) for each in conditions.ORDER[1:]}
        cap = stages.cap_of(rollout, stage)
        stopped = rollout.signups_stopped_at
        closed = signups.refusal()
        lines = [
            f"Stage: {stages.words(stage)}, for {timesince(rollout.stage_since)}",
            f"Hosted mode: {'on' if settings.HOSTED_MODE else 'off'}"
            + (f", seen on {timesince(rollout.hosted_since)} ago" if rollout.hosted_since else ""),
            f"Organisations: {present} of {'any number' if cap is None else cap}",
            f"Sign-ups: stopped {timesince(stopped)} ago. {rollout.signups_stop_reason}".strip()
            if stopped
            else f"Sign-ups: {'shut, every place is taken' if closed else 'open'}",
        ]
        for each, shown in found.items():
            met = sum(condition.met for condition in shown)
            mark = {stage: " (now)", following: " (next)"}.get(each, "")
            lines += [
                "",
                f"{stages.words(each).capitalize()}{mark}: {met} of {len(shown)} conditions met",
            ]
            lines += [_words(condition) for condition in shown if condition.stage == each]
        facts = {
            "stage": stage,
            "stage_since": rollout.stage_since.isoformat(timespec="seconds"),
            "next": following,
            "hosted_mode": settings.HOSTED_MODE,
            "hosted_since": rollout.hosted_since,
            "organisations": present,
            "caps": {each: stages.cap_of(rollout, each) for each in stages.CAP_FIELDS},
            "signups": closed.code if closed else "open",
            "stop_reason": rollout.signups_stop_reason,
            "conditions": {each: _json(shown) for each, shown in found.items()},
        }
        return "\n".join(lines), facts

    def _raise(
        self, *, stage: str, reason: str, dry_run: bool, **_: Any
    ) -> tuple[str, dict[str, Any]]:
        to = stages.named(stage)
        if dry_run:
            missing = stages.missing(to)
            count = len(missing)
            many = "1 condition is" if count == 1 else f"{count} conditions are"
            said = [f"{many} missing.", *map(_words, missing)]
            return "\n".join(said), {"dry_run": True, "missing": _json(missing)}
        change = stages.raise_stage(to=to, actor=ACTOR, reason=reason)
        return f"Raised from {stages.words(change.from_stage)} to {stages.words(to)}.", _stage(to)

    def _lower(self, *, stage: str, reason: str, **_: Any) -> tuple[str, dict[str, Any]]:
        to = stages.named(stage)
        change = stages.lower_stage(to=to, actor=ACTOR, reason=reason)
        return f"Lowered from {stages.words(change.from_stage)} to {stages.words(to)}.", _stage(to)

    def _stop(self, *, reason: str, **_: Any) -> tuple[str, dict[str, Any]]:
        signups.stop(actor=ACTOR, reason=reason)
        said = "Sign-ups are stopped. Organisations that are there go on."
        return said, {"done": True, "signups": "signups_stopped"}

    def _start(self, *, reason: str, **_: Any) -> tuple[str, dict[str, Any]]:
        signups.start(actor=ACTOR, reason=reason)
        return "People can sign up again.", {"done": True, "signups": "open"}

    def _attest(
        self, *, condition: str, reason: str, days: int | None, withdraw: bool, **_: Any
    ) -> tuple[str, dict[str, Any]]:
        if withdraw:
            ended = attestations.withdraw(condition=condition, actor=ACTOR, reason=reason)
            return f"Withdrawn: {condition}.", {"done": True, "withdrawn": ended}
        made = attestations.attest(condition=condition, actor=ACTOR, reason=reason, days=days)
        until = made.expires_at.isoformat(timespec="seconds")
        return f"Vouched for {condition} until {until}.", {"done": True, "expires_at": until}

    def _cap(self, *, stage: str, number: str, reason: str, **_: Any) -> tuple[str, dict[str, Any]]:
        to = stages.named(stage)
        try:
            cap = None if number.lower() == "none" else int(number)
        except ValueError:
            raise RolloutRefused("invalid_cap", "A cap is a whole number, or `none`.") from None
        stages.set_cap(stage=to, cap=cap, actor=ACTOR, reason=reason)
        many = "any number of organisations" if cap is None else f"{cap} organisations"
        return f"{stages.words(to).capitalize()} takes {many}.", {
            "done": True,
            "stage": to,
            "cap": cap,
        }


def _stage(stage: Stage) -> dict[str, Any]:
    return {"done": True, "stage": stage}


def _json(found: Any) -> list[dict[str, Any]]:
    return [each.as_json() for each in found]


def _words(condition: Condition) -> str:
    mark = "met    " if condition.met else "missing"
    said = f"  {mark}  {condition.name:<16} {condition.says}"
    return said if condition.met else f"{said}\n{' ' * 28}{condition.how_to}"
