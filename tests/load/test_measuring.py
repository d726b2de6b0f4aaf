"""The load test's report: it must notice what it is there for."""

from __future__ import annotations

import json
import shlex
from io import StringIO

import pytest
from django.core.management import call_command

from bench.load import measuring
from bench.load.measuring import Report, Sample, Stretch, foreign_label
from tenants.models import Stage
from tenants.rollout import conditions

OWN, OTHER = "canary-load-0123456789ab", "canary-load-ba9876543210"
QUIET, LOUD = Stretch(False, 100.0, 140.0), Stretch(True, 150.0, 190.0)


def samples(quiet_ms: float, loud_ms: float, *, error: str = "", kind: str = "api") -> list[Sample]:
    """40 in each stretch, one a second, and what is measured in between."""
    return [
        Sample(kind, stretch.begin + second, ms, error)
        for stretch, ms in ((QUIET, quiet_ms), (LOUD, loud_ms), (Stretch(True, 140, 150), 9000.0))
        for second in range(int(stretch.end - stretch.begin))
    ]


def report(
    others: list[Sample], noise: list[Sample] | None = None, *, connected: int = 9
) -> Report:
    if noise is None:
        noise = [Sample("noise", 160.0, 1.0), Sample("noise", 161.0, 1.0, "429")]
    return measuring.report(
        organisations=10,
        stretches=[QUIET, LOUD],
        others=others,
        noise=noise,
        connected=connected,
        should_be_connected=9,
    )


def test_a_good_run_passes() -> None:
    found = report(samples(20, 25))
    assert found.ratio == 1.25
    assert found.failures == []
    assert found.kinds["api"]["quiet"].p95 == 20
    assert found.kinds["api"]["noisy"].p99 == 25  # what lies between the stretches is left out
    assert found.noisy == {"let_through": 1, "refused": 1, "a_second": 0.1}
    assert json.loads(json.dumps(found.document()))["passed"] is True
    assert found.text().endswith("passed")


@pytest.mark.django_db
def test_a_run_that_counts_says_how_to_vouch_for_it() -> None:
    """Word for word: what it prints is run, and the rollout's condition is met."""
    found = report(samples(20, 25))
    program, *command = shlex.split(found.attest)
    assert (program, found.attest in found.text()) == ("manage.py", True)
    call_command(*command, stdout=StringIO())
    (condition,) = (c for c in conditions.evaluate(Stage.GA) if c.name == "ga_load")
    assert condition.met
    assert "10 organisations for 80 s, p95 beside a noisy one: api 25 ms" in condition.says


def test_a_run_that_failed_or_was_short_is_nothing_to_vouch_for() -> None:
    assert report(samples(20, 40)).attest == ""
    short = [Stretch(False, 100, 107), Stretch(True, 150, 157)]
    found = measuring.report(
        organisations=10, stretches=short, others=samples(20, 20),
        noise=[Sample("noise", 151, 1, "429")], connected=9, should_be_connected=9,
    )  # fmt: skip
    assert (found.failures, found.attest) == ([], "")


def test_unfairness_is_a_failure_where_it_can_be_judged() -> None:
    (failure,) = report(samples(20, 40)).failures
    assert failure == "others' p95 rose to 2.0 times, more than 1.5"
    short = [Stretch(False, 100, 107), Stretch(True, 150, 157)]
    found = measuring.report(
        organisations=10, stretches=short, others=samples(20, 40),
        noise=[Sample("noise", 151, 1, "429")], connected=9, should_be_connected=9,
    )  # fmt: skip
    assert found.ratio == 2.0
    assert found.failures == []
    assert "judged from 60 s on" in found.text()
    found = measuring.report(
        organisations=10, stretches=[QUIET, LOUD], others=samples(20, 40),
        noise=[Sample("noise", 151, 1, "429")], connected=9, should_be_connected=9,
        usual_pace=False,
    )  # fmt: skip
    assert (found.ratio, found.failures, found.attest) == (2.0, [], "")


def test_the_ratio_is_of_all_stretches_together() -> None:
    """One that was disturbed counts by its samples, not as a whole."""
    again = [Stretch(False, 200.0, 240.0), Stretch(True, 250.0, 290.0)]
    disturbed = [Sample("api", 250.0 + second, 90.0) for second in range(2, 4)]
    others = [
        Sample("api", s.begin + n, 25.0 if s.noisy else 20.0) for s in again for n in range(40)
    ]
    found = measuring.report(
        organisations=10, stretches=[QUIET, LOUD, *again],
        others=[*samples(20, 25), *others, *disturbed],
        noise=[Sample("noise", 151, 1, "429")], connected=9, should_be_connected=9,
    )  # fmt: skip
    assert found.ratio == 1.25


def test_another_organisations_text_is_found() -> None:
    assert foreign_label(f'{{"label": "{OWN}"}}'.encode(), OWN) == ""
    assert foreign_label(f"<a href='http://{OTHER}.localhost'>{OWN}".encode(), OWN) == OTHER
    leaky = [Sample("relay", 101.0, 5.0, "", OTHER)]
    assert report(samples(20, 20) + leaky).failures == [
        "1 answers held another organisation's text"
    ]


@pytest.mark.parametrize("stretch", [QUIET, Stretch(True, 140, 150)])
def test_a_wrong_answer_counts_whenever_it_came(stretch: Stretch) -> None:
    wrong = [Sample("relay", stretch.begin + 5, 5.0, "phone: TIMED_OUT")]
    found = report(samples(20, 20) + wrong)
    assert found.failures == ["1 answers were wrong"]
    assert found.errors == {"phone: TIMED_OUT": 1}


def test_a_noisy_one_that_is_never_refused_measured_nothing() -> None:
    assert report(samples(20, 20), [Sample("noise", 160.0, 1.0)]).failures == [
        "the noisy organisation was never refused"
    ]


def test_who_is_gone_from_the_relay_is_missed() -> None:
    assert report(samples(20, 20), connected=8).failures == ["8 of 9 organisations are connected"]
