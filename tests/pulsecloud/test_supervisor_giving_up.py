"""The supervisor's patience: back-off, five deaths within a minute, killing what will not end."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from pulsecloud.supervisor import DEATHS, GivingUp, Program, Supervisor, backoff
from tests.waiting import until


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(
        base_dir=tmp_path,
        data_dir=tmp_path,
        embedded=False,
        log_dir=tmp_path / "logs",
        state=tmp_path / "up.json",
        environment=os.environ,
        say=lambda text, **_: said.append(text),
    )


def program(name: str, code: str, stop_seconds: float = 5.0) -> Program:
    return Program(name, [sys.executable, "-c", code], stop_seconds)


def test_five_deaths_within_a_minute_end_everything(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(
        [
            program("steady", "import time; time.sleep(60)"),
            program("frail", "print('no such plug'); exit(3)"),
        ]
    )
    try:
        with pytest.raises(GivingUp) as given_up:
            supervisor.watch()
    finally:
        supervisor.stop()
    sentence = str(given_up.value)
    assert f"frail died {DEATHS} times within a minute, last with exit code 3" in sentence
    assert "no such plug" in sentence, "the reason stands in the message"
    assert len(said) == DEATHS - 1
    assert not supervisor.children[0].running


def test_signals_are_named(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start([program("frail", "import os; os.kill(os.getpid(), 9)")])
    supervisor.watch(until=lambda: bool(said))
    supervisor.stop()
    assert said[0].startswith("frail ended with signal SIGKILL; starting it again in 0.2 s")


def test_backoff_grows_and_has_an_end() -> None:
    waits = [backoff(deaths) for deaths in range(1, 10)]
    assert waits == sorted(waits)
    assert waits[0] <= 0.5 and waits[-1] == waits[-2] == 5.0


def test_state_file_names_every_process(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([program("one", "import time; time.sleep(60)")])
    state = json.loads((tmp_path / "up.json").read_text())
    process = supervisor.children[0].process
    assert process and state == {"one": process.pid, "up": os.getpid()}
    supervisor.stop()
    assert not (tmp_path / "up.json").exists()


def test_deaf_process_is_killed_in_the_end(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    supervisor.start([program("deaf", deaf, stop_seconds=0.5)])
    until(lambda: "deaf" in (tmp_path / "logs" / "deaf.log").read_text())
    begun = time.monotonic()
    supervisor.stop()
    assert 0.4 < time.monotonic() - begun < 5
    assert said == ["deaf does not end; killing it"]


def test_long_logs_are_cut(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsecloud.supervisor.LOG_BYTES_MOST", 10)
    supervisor.start(
        [program("chatty", "import time; print('x' * 100, flush=True); time.sleep(60)")]
    )
    log = tmp_path / "logs" / "chatty.log"
    until(lambda: log.stat().st_size > 100)
    supervisor._trim_logs()
    supervisor.stop()
    assert log.stat().st_size == 0
    assert len(log.with_suffix(".log.1").read_text()) == 101
