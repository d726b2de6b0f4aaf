"""Raising needs every condition, one step at a time; lowering is always allowed; one of two wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Event
from tenants import tasks
from tenants.models import Attestation, ReadinessRecord, Rollout, Stage, StageChange
from tenants.rollout import attestations, signups, stages
from tenants.rollout.stages import ConditionsUnmet, RolloutRefused
from tests.factories import make_user
from tests.rollout import standing

ACTOR = standing.ACTOR


@pytest.fixture(autouse=True)
def _runbook(settings: Any, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbook.md").write_text("## P1\n## P2\n## P3\n## P4\n")


@pytest.mark.django_db
def test_raising_keeps_what_the_conditions_showed() -> None:
    standing.stage(Stage.DEV)
    standing.private_beta_open()
    person = make_user(is_staff=True)
    change = stages.raise_stage(
        to=Stage.PRIVATE_BETA, actor=ACTOR, by=person, reason="we are ready"
    )
    assert stages.current() == Stage.PRIVATE_BETA
    assert (change.from_stage, change.to_stage, change.by) == ("dev", "private_beta", person)
    assert {each["name"] for each in change.evidence} == {
        "proof", "drill_lifecycle", "drill_rbac", "rbac_isolation", "playbooks",
    }  # fmt: skip
    assert all(each["met"] for each in change.evidence)
    event = Event.objects.get(action="rollout_raised")
    assert (event.success, event.reason, event.subject) == (True, "we are ready", "private_beta")


@pytest.mark.django_db
def test_a_missing_condition_keeps_it_shut_and_is_named() -> None:
    standing.stage(Stage.DEV)
    standing.private_beta_open()
    ReadinessRecord.objects.filter(kind="drill_rbac").delete()
    with pytest.raises(ConditionsUnmet) as refused:
        stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="now")
    assert [each.name for each in refused.value.missing] == ["drill_rbac"]
    assert stages.current() == Stage.DEV
    assert not StageChange.objects.exists()
    event = Event.objects.get(action="rollout_raised")
    assert not event.success and event.after == {"missing": ["drill_rbac"]}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("to", "reason", "code"),
    [
        (Stage.PUBLIC_BETA, "  ", "reason_needed"),
        (Stage.PRIVATE_BETA, "x", "already_there"),
        (Stage.GA, "x", "not_next"),
        (Stage.DEV, "x", "not_next"),
    ],
)
def test_raising_goes_one_step_and_says_why(to: Stage, reason: str, code: str) -> None:
    standing.stage()
    with pytest.raises(RolloutRefused) as refused:
        stages.raise_stage(to=to, actor=ACTOR, reason=reason)
    assert refused.value.code == code


@pytest.mark.django_db
def test_lowering_asks_for_nothing_and_may_skip() -> None:
    standing.stage(Stage.GA)
    assert not signups.refusal() and not stages.row().signups_stopped_at
    stages.lower_stage(to=Stage.DEV, actor=ACTOR)
    assert stages.current() == Stage.DEV
    assert Event.objects.filter(action="rollout_lowered", subject="dev").exists()
    for to, code in ((Stage.DEV, "already_there"), (Stage.GA, "not_lower")):
        with pytest.raises(RolloutRefused) as refused:
            stages.lower_stage(to=to, actor=ACTOR)
        assert refused.value.code == code


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stage", "cap", "reason", "code"),
    [
        (Stage.DEV, 5, "x", "no_cap"),
        (Stage.GA, -1, "x", "invalid_cap"),
        (Stage.GA, 1_000_001, "x", "invalid_cap"),
        (Stage.GA, 5, "", "reason_needed"),
    ],
)
def test_caps_have_rules(stage: Stage, cap: int, reason: str, code: str) -> None:
    with pytest.raises(RolloutRefused) as refused:
        stages.set_cap(stage=stage, cap=cap, actor=ACTOR, reason=reason)
    assert refused.value.code == code


@pytest.mark.django_db
def test_the_worker_notes_since_when_hosted_mode_is_on(settings: Any) -> None:
    standing.stage()
    tasks.sweep(timestamp=0)
    since = stages.row().hosted_since
    assert since is not None and timezone.now() - since < timedelta(minutes=1)
    tasks.sweep(timestamp=0)
    assert stages.row().hosted_since == since
    settings.HOSTED_MODE = False
    tasks.sweep(timestamp=0)
    assert stages.row().hosted_since is None


@pytest.mark.django_db
def test_without_a_row_it_is_a_private_beta() -> None:
    Rollout.objects.all().delete()
    assert stages.current() == Stage.PRIVATE_BETA
    assert not Rollout.objects.exists()
    signups.stop(actor=ACTOR)
    assert Rollout.objects.get().stage == Stage.PRIVATE_BETA


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each returned, or the refusal that it raised, in this order."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[object] = [None] * len(calls)

    def run(place: int, call: Callable[[], object]) -> None:
        try:
            barrier.wait(10)
            outcomes[place] = call()
        except Exception as error:
            outcomes[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def test_what_is_withdrawn_while_the_conditions_are_looked_at_keeps_it_shut(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The withdrawal commits after the first look (which may wait for Prometheus for seconds)."""
    standing.stage(Stage.DEV)
    standing.private_beta_open()
    looked = stages.locked

    def withdrawn_before_the_lock() -> Rollout:
        monkeypatch.setattr(stages, "locked", looked)
        at_once(lambda: attestations.withdraw(condition="rbac_isolation", actor=ACTOR))
        return looked()

    monkeypatch.setattr(stages, "locked", withdrawn_before_the_lock)
    with pytest.raises(ConditionsUnmet) as refused:
        stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="go")
    assert [each.name for each in refused.value.missing] == ["rbac_isolation"]
    assert stages.current() == Stage.DEV
    event = Event.objects.filter(action="rollout_raised").latest("id")
    assert (event.success, event.after) == (False, {"missing": ["rbac_isolation"]})


def test_raising_does_not_undo_a_lowering_that_came_between(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up by one and down by another while this one waited: it is back where it was, and changed."""
    standing.stage(Stage.DEV)
    standing.private_beta_open()
    looked = stages.locked

    def up_and_down() -> object:
        stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="a")
        return stages.lower_stage(to=Stage.DEV, actor=ACTOR, reason="on fire")

    def changed_before_the_lock() -> Rollout:
        monkeypatch.setattr(stages, "locked", looked)
        assert isinstance(at_once(up_and_down)[0], StageChange)
        return looked()

    monkeypatch.setattr(stages, "locked", changed_before_the_lock)
    with pytest.raises(RolloutRefused) as refused:
        stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="b")
    assert refused.value.code == "changed_meanwhile"
    assert stages.current() == Stage.DEV


@pytest.mark.django_db
def test_every_change_says_what_was_before_and_after() -> None:
    standing.stage()
    signups.stop(actor=ACTOR, reason="x")
    signups.start(actor=ACTOR, reason="x")
    stages.set_cap(stage=Stage.GA, cap=7, actor=ACTOR, reason="x")
    stages.lower_stage(to=Stage.DEV, actor=ACTOR, reason="x")
    attestations.attest(condition="ga_load", actor=ACTOR, reason="x")
    attestations.withdraw(condition="ga_load", actor=ACTOR, reason="x")
    events = Event.objects.order_by("id")
    assert [event.action for event in events] == [
        "signups_stopped", "signups_started", "rollout_cap_changed", "rollout_lowered",
        "rollout_attested", "rollout_attestation_withdrawn",
    ]  # fmt: skip
    for event in events:
        assert event.reason == "x" and event.actor_label and event.before != event.after
        assert event.before and event.after, event.action


@pytest.fixture
def committed(live_db: None) -> Any:
    """A policy that other threads see, and nothing of it afterwards."""
    yield
    standing.stage(private_beta_cap=None, public_beta_cap=None)
    Attestation.objects.all().delete()
    ReadinessRecord.objects.all().delete()
    StageChange.objects.all().delete()


def test_two_staff_raise_at_once_and_one_is_told(committed: None) -> None:
    standing.stage(Stage.DEV)
    standing.private_beta_open()
    outcomes = at_once(
        *[lambda: stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="go")] * 2
    )
    changes = [each for each in outcomes if isinstance(each, StageChange)]
    refused = [each for each in outcomes if isinstance(each, RolloutRefused)]
    assert (len(changes), [each.code for each in refused]) == (1, ["already_there"])


def test_opposite_buttons_at_once_leave_one_answer_each(committed: None) -> None:
    """Whoever is second finds the other's stage, and is told when theirs makes no sense any more."""
    for _ in range(5):
        standing.stage(Stage.DEV)
        standing.private_beta_open()
        stages.raise_stage(to=Stage.PRIVATE_BETA, actor=ACTOR, reason="go")
        outcomes = at_once(
            lambda: stages.lower_stage(to=Stage.DEV, actor=ACTOR),
            lambda: stages.lower_stage(to=Stage.DEV, actor=ACTOR),
            lambda: stages.set_cap(stage=Stage.GA, cap=7, actor=ACTOR, reason="x"),
        )
        lowered = [each for each in outcomes[:2] if isinstance(each, StageChange)]
        refused = [each for each in outcomes[:2] if isinstance(each, RolloutRefused)]
        assert (len(lowered), [each.code for each in refused]) == (1, ["already_there"])
        row = stages.row()
        assert (row.stage, row.ga_cap) == (Stage.DEV, 7)  # nobody's change was lost


def test_stop_and_start_at_once(committed: None) -> None:
    standing.stage()
    outcomes = at_once(
        lambda: signups.stop(actor=ACTOR, reason="a"), lambda: signups.stop(actor=ACTOR, reason="b")
    )
    refused = [each for each in outcomes if isinstance(each, RolloutRefused)]
    assert [each.code for each in refused] == ["already_stopped"]
    outcomes = at_once(*[lambda: signups.start(actor=ACTOR, reason="over")] * 2)
    refused = [each for each in outcomes if isinstance(each, RolloutRefused)]
    assert [each.code for each in refused] == ["not_stopped"]
