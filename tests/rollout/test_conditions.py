"""Each condition is looked at when somebody asks, names its row and age, and bites when it is untrue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Event
from tenants import budgets, limits
from tenants.models import (
    Attestation,
    DeletionReceipt,
    LimitWindow,
    Organisation,
    ReadinessKind,
    ReadinessRecord,
    Removal,
    Rollout,
    Stage,
)
from tenants.rollout import attestations, conditions, evidence
from tenants.rollout.conditions import Condition
from tenants.rollout.stages import RolloutRefused
from tests.factories import make_organisation
from tests.rollout import standing
from tests.rollout.standing import vouch

pytestmark = pytest.mark.django_db
LATE = timedelta(days=100)


@pytest.fixture(autouse=True)
def _runbook(settings: Any, tmp_path: Path) -> Path:
    """Its own tests are about the real one."""
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    file = tmp_path / "docs" / "runbook.md"
    file.write_text("# Runbook\n## P1: down\n## P2\n### P3\n## Playbook P4: slow\n")
    return file


def found(name: str, stage: Stage = Stage.GA) -> Condition:
    return {each.name: each for each in conditions.evaluate(stage)}[name]


def missing(stage: Stage) -> set[str]:
    return {each.name for each in conditions.evaluate(stage) if not each.met}


def test_a_fresh_installation_meets_the_playbooks_only() -> None:
    standing.stage()
    names = {rule.name for rule in conditions.RULES if rule.stage == Stage.PRIVATE_BETA}
    assert missing(Stage.PRIVATE_BETA) == names - {"playbooks"}
    assert conditions.evaluate(Stage.DEV) == []


def test_each_stage_can_be_opened_by_what_it_asks_for() -> None:
    standing.stage()
    standing.private_beta_open()
    assert missing(Stage.PRIVATE_BETA) == set()
    standing.public_beta_open()
    assert missing(Stage.PUBLIC_BETA) == set()
    standing.ga_open()
    assert missing(Stage.GA) == {"ga_stripe"}


def test_a_stage_asks_for_what_those_below_ask_for() -> None:
    standing.stage()
    names = [[each.name for each in conditions.evaluate(stage)] for stage in conditions.ORDER]
    for lower, upper in pairwise(names):
        assert set(lower) < set(upper)
    assert set(names[-1]) == set(conditions.BY_NAME)


def test_the_contracts_items_stand_where_it_puts_them() -> None:
    """hosted-contract section 26: items 1, 2, 5 and 7 open the public beta, all eight GA."""
    at = {stage: {r.title[:4] for r in conditions.RULES if r.stage == stage} for stage in Stage}
    assert {t for t in at[Stage.PUBLIC_BETA] if t.startswith("GA")} == {
        "GA 1",
        "GA 2",
        "GA 5",
        "GA 7",
    }
    assert {t for t in at[Stage.GA] if t.startswith("GA")} == {"GA 3", "GA 4", "GA 6", "GA 8"}


def set_back(model: Any, field: str) -> Callable[[], object]:
    return lambda: model.objects.update(**{field: timezone.now() - LATE})


def rewrite_the_trail() -> None:
    """As somebody could who owns the database: past the triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE audit_event SET reason = 'nothing happened'")
        cursor.execute("SET LOCAL session_replication_role = origin")


def end_what_was_vouched_for() -> None:
    Attestation.objects.update(expires_at=timezone.now())


BITES: list[tuple[str, Callable[[], object], str]] = [
        ("proof", set_back(ReadinessRecord, "started_at"), "too old"),
        ("proof", lambda: standing.record(passed=False, blocking=["no relay"]), "no relay"),
        ("proof", lambda: standing.record(version="0.0.1"), "0.0.1"),
        ("proof", lambda: ReadinessRecord.objects.all().delete(), "No proof"),
        ("drill_rbac", set_back(ReadinessRecord, "started_at"), "too old"),
        ("drill_lifecycle", lambda: standing.record(ReadinessKind.LIFECYCLE_DRILL, passed=False),
         "Blocked"),
        ("rbac_isolation", set_back(Attestation, "expires_at"), "Nobody vouches"),
        ("watched", lambda: Rollout.objects.update(hosted_since=None), "Hosted mode is off"),
        ("watched", lambda: Rollout.objects.update(hosted_since=timezone.now()), "to go"),
        ("ga_suspension", lambda: standing.record(steps=[]), "did not get as far"),
        ("ga_reaper", set_back(DeletionReceipt, "made_at"), "no receipt"),
        ("ga_email", lambda: Organisation.objects.update(mailbox_proved_at=None), "not proved"),
        ("ga_limits", set_back(LimitWindow, "window"), "No request"),
        ("ga_load", lambda: Attestation.objects.update(withdrawn_at=timezone.now()), "Nobody"),
        ("security_audit", end_what_was_vouched_for, "Nobody vouches"),
        ("audit_intact", rewrite_the_trail, "was changed"),
]  # fmt: skip
ELSEWHERE = {"playbooks", "ga_reset", "ga_sso", "ga_stripe"}  # each has a test of its own below


def test_there_is_no_condition_that_cannot_fail() -> None:
    assert {name for name, _, _ in BITES} | ELSEWHERE == set(conditions.BY_NAME)


@pytest.mark.parametrize(("name", "spoil", "says"), BITES)
def test_it_bites(name: str, spoil: Callable[[], object], says: str) -> None:
    standing.stage()
    standing.ga_open()
    assert found(name).met
    spoil()
    after = found(name)
    assert not after.met
    assert says in after.says
    assert after.how_to


def test_counting_who_looks_at_the_checklist_is_no_evidence() -> None:
    """Every page counts its caller's address: a look would show what it asks for itself."""
    standing.stage()
    limits.allow(budgets.ADDRESS, "192.0.2.1", limit=10, seconds=60)
    limits.allow(budgets.ORGANISATION, "of nobody", limit=10, seconds=60)
    assert not found("ga_limits").met
    organisation = make_organisation("active")
    assert not found("ga_limits").met
    limits.allow(budgets.ORGANISATION, str(organisation.pk), limit=10, seconds=60)
    assert found("ga_limits").met


def test_general_availability_says_that_billing_is_not_there() -> None:
    standing.stage()
    item = found("ga_stripe")
    assert "Billing is not there yet" in item.says and "takes no payments" in item.says
    assert "until a release brings billing by card" in item.how_to


def test_an_overdue_deletion_cannot_be_vouched_away() -> None:
    standing.stage()
    standing.ga_open()
    organisation = make_organisation("pending_deletion")
    Removal.objects.update_or_create(
        organisation=organisation,
        defaults={"due_at": timezone.now() - timedelta(days=2), "requested_by": "owner"},
    )
    vouch("ga_reaper")
    after = found("ga_reaper")
    assert not after.met and not after.attestable
    assert after.evidence is not None and after.evidence.kind == "removal"


def test_missing_playbooks_are_named(_runbook: Path) -> None:
    standing.stage()
    _runbook.write_text("# Runbook\n## P1\n## P3\nP2 and P4 are only spoken of\n")
    assert found("playbooks").says == "docs/runbook.md has no P2, P4."
    _runbook.unlink()
    assert not found("playbooks").met


@pytest.mark.parametrize("name", ["proof", "ga_reaper", "ga_reset", "ga_sso", "audit_intact"])
def test_evidence_is_a_row_with_an_age(name: str) -> None:
    standing.stage()
    standing.ga_open()
    told = found(name).as_json()
    assert told["met"] and told["evidence"]["id"] and told["evidence"]["age_seconds"] >= 0
    json.dumps(told)


@pytest.mark.parametrize("name", ["ga_reset", "ga_sso"])
def test_events_of_long_ago_show_nothing_and_can_be_vouched_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.stage()
    before = found(name)
    assert not before.met and before.attestable
    standing.ga_open()
    assert found(name).met
    # The trail's times cannot be changed; what counts as long ago can.
    monkeypatch.setattr(evidence, "KEPT", timedelta(0))
    assert not found(name).met
    vouch(name)
    after = found(name)
    assert after.met and after.evidence is not None and after.evidence.kind == "attestation"
    assert "seen in a test" in after.says


def test_what_is_not_in_the_release_can_be_vouched_for_by_nobody() -> None:
    standing.stage()
    with pytest.raises(RolloutRefused) as refused:
        vouch("ga_stripe")
    assert refused.value.code == "not_attestable"


@pytest.mark.parametrize(
    ("condition", "reason", "days", "code"),
    [
        ("moon", "x", None, "unknown_condition"),
        ("proof", "x", None, "not_attestable"),
        ("ga_load", " ", None, "reason_needed"),
        ("ga_load", "x", 0, "invalid_days"),
        ("ga_load", "x", 91, "invalid_days"),
        ("watched", "x", 8, "invalid_days"),
    ],
)
def test_vouching_has_rules(condition: str, reason: str, days: int | None, code: str) -> None:
    with pytest.raises(RolloutRefused) as refused:
        attestations.attest(condition=condition, actor=standing.ACTOR, reason=reason, days=days)
    assert refused.value.code == code
    assert not Attestation.objects.exists()


def test_what_was_vouched_for_can_be_withdrawn() -> None:
    vouch("ga_load")
    assert (
        attestations.withdraw(condition="ga_load", actor=standing.ACTOR, reason="it was wrong") == 1
    )
    assert not found("ga_load").met
    with pytest.raises(RolloutRefused) as refused:
        attestations.withdraw(condition="ga_load", actor=standing.ACTOR)
    assert refused.value.code == "not_attested"
    actions = (
        Event.objects.filter(subject="ga_load").order_by("id").values_list("action", flat=True)
    )
    assert list(actions) == ["rollout_attested", "rollout_attestation_withdrawn"]
