"""`manage.py rollout`: what it prints, its exit codes, and that it is told everything it changes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from tenants.models import Rollout, Stage
from tenants.rollout import conditions, stages
from tests.rollout import standing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _runbook(settings: Any, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbook.md").write_text("## P1\n## P2\n## P3\n## P4\n")
    standing.stage()


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rollout", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[str, dict[str, Any]]:
    """The message, and with --json what was printed before it. The exit code is 1."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("rollout", *arguments, "--json", stdout=out)
    assert error.value.returncode == 1
    return str(error.value), json.loads(out.getvalue())


def test_show_says_what_is_missing_and_how_to_come_by_it() -> None:
    said = run("show")
    assert said.startswith("Stage: private beta, for 0")
    assert "Public beta (next): 1 of 10 conditions met" in said
    assert "missing  ga_suspension    No proof has run yet." in said
    assert "Run `manage.py drill rbac`." in said
    assert all(name in said for name in conditions.BY_NAME)


def test_show_speaks_json() -> None:
    facts = json.loads(run("show", "--json"))
    assert (facts["stage"], facts["next"], facts["signups"]) == (
        "private_beta",
        "public_beta",
        "open",
    )
    assert facts["caps"] == {"private_beta": 100, "public_beta": 1000, "ga": None}
    assert {each["name"] for each in facts["conditions"]["ga"]} == set(conditions.BY_NAME)


def test_raise_names_what_is_missing() -> None:
    message, facts = refused("raise", "public-beta", "--reason", "now")
    assert "Public beta is not open yet: proof, " in message
    assert "Run `manage.py prove`." in message
    assert facts["code"] == "conditions_unmet"
    assert "watched" in {each["name"] for each in facts["missing"]}
    assert stages.current() == Stage.PRIVATE_BETA


def test_a_dry_run_looks_only() -> None:
    before = Event.objects.count()
    assert "9 conditions are missing." in run("raise", "public_beta", "--reason", "x", "--dry-run")
    assert Event.objects.count() == before


def test_a_dry_run_counts_one_in_the_singular() -> None:
    standing.public_beta_open()
    Rollout.objects.filter(pk=1).update(hosted_since=None)
    said = run("raise", "public_beta", "--reason", "x", "--dry-run")
    assert said.startswith("1 condition is missing.\n")


def test_raise_and_lower() -> None:
    standing.public_beta_open()
    assert run("raise", "public_beta", "--reason", "ready") == (
        "Raised from private beta to public beta.\n"
    )
    assert json.loads(run("lower", "dev", "--json")) == {"done": True, "stage": "dev"}
    assert stages.current() == Stage.DEV
    actions = Event.objects.filter(action__startswith="rollout_", actor_id="manage.py rollout")
    assert actions.filter(action="rollout_raised").exists()
    assert actions.filter(action="rollout_lowered").exists()


def test_stop_and_start() -> None:
    assert "stopped" in run("stop")
    assert "Sign-ups: stopped" in run("show")
    assert refused("stop")[1]["code"] == "already_stopped"
    assert run("start", "--reason", "over") == "People can sign up again.\n"


def test_cap() -> None:
    assert run("cap", "private_beta", "25", "--reason", "x") == (
        "Private beta takes 25 organisations.\n"
    )
    assert json.loads(run("cap", "public_beta", "none", "--reason", "x", "--json"))["cap"] is None
    assert (stages.row().private_beta_cap, stages.row().public_beta_cap) == (25, None)
    assert refused("cap", "ga", "many", "--reason", "x")[1]["code"] == "invalid_cap"


def test_attest_and_withdraw() -> None:
    assert "Vouched for ga_load until" in run("attest", "ga_load", "--reason", "report of May 3")
    assert "met      ga_load" in run("show")
    assert run("attest", "ga_load", "--withdraw", "--reason", "x") == "Withdrawn: ga_load.\n"
    assert "There are these conditions" in refused("attest", "moon", "--reason", "x")[0]


@pytest.mark.parametrize(
    "verb", [["raise", "ga"], ["start"], ["cap", "ga", "5"], ["attest", "watched"]]
)
def test_these_need_a_reason(verb: list[str]) -> None:
    with pytest.raises(CommandError, match="--reason"):
        run(*verb)


def test_an_unknown_stage_is_told_with_those_there_are() -> None:
    message, facts = refused("raise", "moon", "--reason", "x")
    assert facts["code"] == "unknown_stage"
    assert "dev, private_beta, public_beta, ga" in message
