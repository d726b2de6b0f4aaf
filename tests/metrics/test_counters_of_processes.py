"""Counters of several processes: added up, kept when one dies, never twice (F72)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsecloud import metric_files, metrics
from tests.metrics.conftest import Counting
from tests.metrics.scrape import parsed, value

pytestmark = pytest.mark.django_db

SIGNUPS = "pulse_hosted_signups_total"
PROVISIONS = "pulse_hosted_provisions_total"
TRANSITIONS = "pulse_hosted_lifecycle_transitions_total"
Start = Callable[[], Counting]


@pytest.mark.covers("F72")
def test_processes_are_added_up(counting: Start) -> None:
    web, worker = counting(), counting()
    web.say("signed_up", times=3)
    worker.say("signed_up", times=4)
    worker.say("provisioned ok", times=2)
    worker.say("provisioned failed")
    web.say("transitioned active suspended")
    found = parsed(metrics.collect())
    assert value(found, SIGNUPS) == 7
    assert value(found, PROVISIONS, status="success") == 2
    assert value(found, PROVISIONS, status="failure") == 1
    assert value(found, TRANSITIONS, from_status="active", to_status="suspended") == 1


@pytest.mark.covers("F72")
def test_what_a_killed_process_counted_is_kept_and_counted_once(counting: Start) -> None:
    web, worker = counting(), counting()
    web.say("signed_up", times=3)
    worker.say("signed_up", times=4)
    worker.kill()
    assert value(parsed(metrics.collect()), SIGNUPS) == 7
    again = counting()
    again.say("signed_up", times=5)
    for _ in range(3):
        assert value(parsed(metrics.collect()), SIGNUPS) == 12


@pytest.mark.covers("F72")
def test_dead_processes_files_do_not_pile_up(
    counting: Start, metrics_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_files, "FOLD_FROM", 4)
    alive = counting()
    alive.say("signed_up")
    for _ in range(3):
        one = counting()
        one.say("signed_up", times=2)
        one.say("transitioned suspended active")
        one.kill()
    dead = 3
    found = parsed(metrics.collect())
    assert value(found, SIGNUPS) == 1 + 2 * dead
    assert value(found, TRANSITIONS, from_status="suspended", to_status="active") == dead
    files = sorted(path.name for path in metrics_dir.glob("*.db"))
    assert files == sorted(
        f"{kind}_{which}.db" for kind in metric_files.KINDS for which in (alive.pid, "folded")
    )
    alive.say("signed_up")
    assert value(parsed(metrics.collect()), SIGNUPS) == 2 + 2 * dead


def test_a_second_fold_adds_to_the_first(counting: Start, metrics_dir: Path) -> None:
    for _ in range(2):
        one = counting()
        one.say("signed_up", times=2)
        one.kill()
        assert metric_files.fold(metrics_dir) == 2  # counters and histograms
    assert value(parsed(metrics.collect()), SIGNUPS) == 4


def test_a_living_process_is_never_folded(counting: Start, metrics_dir: Path) -> None:
    one = counting()
    one.say("signed_up")
    assert metric_files.fold(metrics_dir) == 0
    assert (metrics_dir / f"counter_{one.pid}.db").exists()


CRASHES = {
    "before the draft": "_write_sum",
    "before the journal is done": "_finish",
}


@pytest.mark.parametrize("where", CRASHES.values(), ids=CRASHES.keys())
def test_a_fold_that_is_killed_loses_and_doubles_nothing(
    counting: Start, metrics_dir: Path, where: str
) -> None:
    for _ in range(2):
        one = counting()
        one.say("signed_up", times=2)
        one.kill()
    script = (
        "import os, signal, sys; from pathlib import Path; from pulsecloud import metric_files\n"
        f"real, calls = metric_files.{where}, []\n"
        "def crash(*arguments):\n"
        "    calls.append(1)\n"
        "    if sys.argv[2] == '_write_sum' or len(calls) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*arguments)\n"
        f"metric_files.{where} = crash\n"
        "metric_files.fold(Path(sys.argv[1]))\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(metrics_dir), where], cwd=os.getcwd())
    assert died.returncode == -9
    for _ in range(2):
        assert value(parsed(metrics.collect()), SIGNUPS) == 4


def test_a_fold_that_died_while_tidying_up_is_finished(counting: Start, metrics_dir: Path) -> None:
    """The new sum is in place, one of the files that it replaces is still there."""
    for _ in range(2):
        one = counting()
        one.say("signed_up", times=2)
        one.kill()
    dead = sorted(metrics_dir.glob("*_*.db"))
    metric_files._write_sum(metrics_dir, dead)
    for kind in metric_files.KINDS:
        (metrics_dir / metric_files.draft(kind)).replace(metrics_dir / metric_files.folded(kind))
    dead[0].unlink()
    assert value(parsed(metrics.collect()), SIGNUPS) == 4
    assert not (metrics_dir / metric_files.JOURNAL).exists()


def test_scraping_while_processes_come_and_go(counting: Start, metrics_dir: Path) -> None:
    """Scrapes never fail and never go backwards; at the end every answered count is there."""
    answered, last = 0, 0.0
    for _ in range(3):
        one = counting()
        assert one.process.stdin is not None
        one.process.stdin.write("flood\n")
        one.process.stdin.flush()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            answered += one.answer() == "ok"
            metric_files.fold(metrics_dir)
            now = value(parsed(metrics.collect()), SIGNUPS)
            assert now >= last
            last = now
        one.process.send_signal(9)
        one.process.wait(10)
        assert one.process.stdout is not None
        answered += one.process.stdout.read().count("ok\n")
    total = value(parsed(metrics.collect()), SIGNUPS)
    # Each killed process may have counted once more than it could say.
    assert answered <= total <= answered + 3


def test_a_file_without_content_is_no_error(metrics_dir: Path, counting: Start) -> None:
    counting().say("signed_up")
    (metrics_dir / "counter_1.db").touch()
    assert value(parsed(metrics.collect()), SIGNUPS) == 1


def test_all_series_are_there_before_anything_was_counted(counting: Start) -> None:
    counting()
    found = parsed(metrics.collect())
    assert value(found, SIGNUPS) == 0
    assert value(found, PROVISIONS, status="success") == 0
    assert value(found, PROVISIONS, status="failure") == 0


def test_unknown_statuses_are_folded_as_the_contract_says(counting: Start) -> None:
    one = counting()
    one.say("transitioned provisioning active")
    one.say("transitioned pending_deletion purging")
    one.say("transitioned 6f1c2d34-aaaa-4bbb-8ccc-1234567890ab acme-label")
    found = {
        key: number
        for key, number in parsed(metrics.collect()).items()
        if key[0] == TRANSITIONS and number
    }
    assert found == {
        (TRANSITIONS, (("from_status", "active"), ("to_status", "active"))): 2,
        (TRANSITIONS, (("from_status", "pending_deletion"), ("to_status", "pending_deletion"))): 1,
    }
