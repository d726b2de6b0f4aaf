"""Recording rules and alerts: unit-tested by promtool, complete, and each leads to its playbook."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.ops import rules

FILES = sorted((rules.PLACE / "tests").glob("*.yml"))
PRIORITIES = {"P1", "P2", "P3", "P4"}


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=rules.ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.promtool
def test_the_files_are_well_formed() -> None:
    promtool("check", "rules", *(str(path) for path in rules.PLACE.glob("*ing.yml")))
    promtool("check", "rules", str(rules.PLACE / "alerts.yml"))
    promtool("check", "config", "--syntax-only", str(rules.PLACE / "prometheus.yml"))


def amtool(*arguments: str) -> str:
    done = subprocess.run(
        ["amtool", *arguments], cwd=rules.ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.amtool
def test_alertmanager_takes_its_file_and_wakes_who_should_be() -> None:
    file = str(rules.PLACE / "alertmanager.yml")
    amtool("check-config", file)
    for severity, receiver in (("page", "on-call"), ("ticket", "tickets")):
        route = ("config", "routes", "test", f"--config.file={file}", f"severity={severity}")
        assert amtool(*route) == receiver


def test_only_alerts_that_there_are_silence_others() -> None:
    """A matcher that nothing fits is no error to Alertmanager; it says too much, or too little."""
    names = [alert["alert"] for alert in rules.alerts()]
    read = yaml.safe_load((rules.PLACE / "alertmanager.yml").read_text("utf-8"))
    for rule in read["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, pattern = matcher.partition("=")
            if label == "alertname":
                wanted = pattern.strip('~"').split("|")
                assert all(any(re.fullmatch(each, name) for name in names) for each in wanted)


def test_a_relay_that_is_down_hides_no_other_budget() -> None:
    """Sign-ups that fail beside it are another fault, with a playbook of their own."""
    read = yaml.safe_load((rules.PLACE / "alertmanager.yml").read_text("utf-8"))
    (of_relay,) = (
        rule["target_matchers"]
        for rule in read["inhibit_rules"]
        if "PulseRelayDown" in rule["source_matchers"][0]
        and any("PulseErrorBudgetBurns" in each for each in rule["target_matchers"])
    )
    assert 'slo="connected"' in of_relay


@pytest.mark.promtool
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_alerts_fire_and_stay_quiet_as_they_should(path: object) -> None:
    promtool("test", "rules", str(path))


def _checks() -> list[tuple[str, bool]]:
    """(alert, whether it should fire) of each promtool test."""
    found = []
    for path in FILES:
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for check in test.get("promql_expr_test", []):
                if name := re.search(r'alertname="(\w+)"', check["expr"]):
                    found.append((name[1], bool(check["exp_samples"])))
    return found


@pytest.mark.parametrize("alert", sorted({alert["alert"] for alert in rules.alerts()}))
def test_every_alert_is_shown_firing_and_quiet(alert: str) -> None:
    assert {fires for name, fires in _checks() if name == alert} == {True, False}


def test_every_group_is_evaluated_in_its_order_by_every_test() -> None:
    names = [g["name"] for file in ("recording.yml", "alerts.yml") for g in rules.groups(file)]
    for path in FILES:
        assert yaml.safe_load(path.read_text("utf-8"))["group_eval_order"] == names, path


@pytest.mark.parametrize("alert", rules.alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_how_bad_it_is_and_leads_to_its_playbook(
    alert: dict[str, dict[str, str]],
) -> None:
    labels, told = alert["labels"], alert["annotations"]
    given = set(re.findall(r"P\d", labels["priority"]))
    assert given and given <= PRIORITIES
    assert set(re.findall(r"page|ticket", labels["severity"])) <= {"page", "ticket"}
    if "{{" not in labels["priority"]:
        assert (labels["severity"] == "page") <= (labels["priority"] in ("P1", "P2"))
        assert (labels["priority"] == "P1") <= (labels["severity"] == "page")
    assert told["summary"] and told["description"]
    address, _, anchor = told["runbook_url"].partition("#")
    assert address == '{{ or $externalLabels.runbook "docs/runbook.md" }}'
    filled = {anchor.replace("{{ $labels.slo }}", slo) for slo in rules.OBJECTIVES}
    assert filled <= rules.anchors(rules.RUNBOOK)


@pytest.mark.parametrize("slo", rules.OBJECTIVES)
def test_an_objective_is_measured_the_same_way_over_every_window(slo: str) -> None:
    """Eight copies of an expression: a window that differs would alert about something else."""
    for what in ("errors:ratio_rate", "bad_events:increase"):
        found = {}
        for rule in rules.recordings():
            name, _, window = rule["record"].partition(f"pulse_slo:{what}")
            if not name and window and rule["labels"]["slo"] == slo:
                found[window] = rule["expr"].replace(f"[{window}]", "[W]")
                assert rule["expr"].count(f"[{window}]") >= 1, rule["record"]
        assert len(set(found.values())) <= 1
        if what == "errors:ratio_rate":
            last = "7d" if slo == "provisioning" else "30d"
            assert set(found) == {"5m", "30m", "1h", "2h", "6h", "1d", "3d", last}
        else:
            assert set(found) == (set() if slo == "connected" else {"1h", "6h", "1d", "3d"})


def test_the_staff_home_and_prometheus_have_the_same_objectives() -> None:
    from pulsecloud.objectives import OBJECTIVES

    budgets = {
        rule["labels"]["slo"]: float(re.findall(r"[\d.]+", rule["expr"])[0])
        for rule in rules.recordings()
        if rule["record"] == "pulse_slo:error_budget:ratio"
    }
    assert set(budgets) == set(rules.OBJECTIVES)
    assert budgets == pytest.approx({each.name: 1 - each.target for each in OBJECTIVES})


def test_recorded_names_that_are_read_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules.recordings()}
    for rule in [*rules.recordings(), *rules.alerts()]:
        read = {s.name for s in rules.selectors(rule["expr"]) if ":" in s.name}
        assert read <= recorded
