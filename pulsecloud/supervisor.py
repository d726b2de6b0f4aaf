"""Owns every process of the product: PostgreSQL first and last, the others between.

A dead process is started again after a back-off; five deaths of one within a minute end
everything with a sentence that says which and why. No process outlives the supervisor, not even
its kill -9: the kernel stops them (`processes.die_with_parent`).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from pulsecloud import postgres
from pulsecloud.processes import die_with_parent

DEATHS = 5
WITHIN_SECONDS = 60.0
BACKOFF_FIRST, BACKOFF_MOST = 0.2, 5.0
TICK = 0.1
LOG_BYTES_MOST = 20_000_000

Say = Callable[..., None]


class GivingUp(Exception):
    """A process cannot be kept running; the message names it and says what it said last."""


@dataclass
class Program:
    """One process: how it is started, and how long it may take to end when asked."""

    name: str
    command: list[str]
    stop_seconds: float = 10.0


@dataclass
class Deaths:
    """Counts deaths of one process within the last minute."""

    times: deque[float] = field(default_factory=deque)

    def count(self, now: float) -> int:
        """Notes one more and returns how many there were within a minute."""
        self.times.append(now)
        while self.times[0] < now - WITHIN_SECONDS:
            self.times.popleft()
        return len(self.times)


def backoff(deaths: int) -> float:
    """Seconds to wait before the next start, after so many deaths within a minute."""
    return min(BACKOFF_FIRST * 2.0 ** (deaths - 1), BACKOFF_MOST)


class Child:
    """One program that is kept running."""

    def __init__(self, program: Program, owner: Supervisor) -> None:
        self.program = program
        self.owner = owner
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = Deaths()
        self.start_at = 0.0

    def start(self) -> None:
        name = self.program.name
        log = self.owner.log_file(name)
        output: Any = log.open("ab") if log else None
        try:
            self.process = subprocess.Popen(
                self.program.command,
                cwd=self.owner.base_dir,
                env={**self.owner.environment, "PULSECLOUD_PROCESS": name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C reaches the supervisor only; it stops the rest in order
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        finally:
            if output:
                output.close()

    def look(self, now: float) -> None:
        """Notices a death and starts again when the back-off is over. Raises GivingUp."""
        if self.process is None:
            if now >= self.start_at:
                self.start()
                self.owner.write_state()
            return
        code = self.process.poll()
        if code is None:
            return
        multiprocess.mark_process_dead(self.process.pid)  # type: ignore[no-untyped-call]
        name = self.program.name
        deaths = self.deaths.count(now)
        self.process = None
        if deaths >= DEATHS:
            raise GivingUp(
                f"{name} died {DEATHS} times within a minute, last with {ending(code)}."
                f"{self.owner.last_words(name)}"
            )
        wait = backoff(deaths)
        self.start_at = now + wait
        self.owner.say(
            f"{name} ended with {ending(code)}; starting it again in {wait:.1f} s",
            event="process died",
            name=name,
            code=code,
            wait=wait,
        )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Keeps PostgreSQL (when `embedded`) and the programs running until told to stop.

    `log_dir` receives one file per process; None lets them write where the supervisor writes.
    `state` is a JSON file {process name: pid} for people and tests.
    """

    def __init__(
        self,
        *,
        base_dir: Path,
        data_dir: Path,
        embedded: bool,
        log_dir: Path | None,
        state: Path,
        environment: Mapping[str, str],
        say: Say,
    ) -> None:
        self.base_dir = base_dir
        self.data_dir = data_dir
        self.embedded = embedded
        self.log_dir = log_dir
        self.state = state
        self.environment = dict(environment)
        self.say = say
        self.server: postgres.Server | None = None
        self.server_deaths = Deaths()
        self.children: list[Child] = []
        self.stop_requests = 0

    # --- starting ---------------------------------------------------------------------------

    def start_postgres(self) -> None:
        if self.embedded:
            self.server = postgres.start(self.data_dir)
            self.write_state()

    def start(self, programs: list[Program]) -> None:
        for program in programs:
            child = Child(program, self)
            self.children.append(child)
            child.start()
        self.write_state()

    def request_stop(self, *_: Any) -> None:
        """Signal handler: once means in order, twice means at once."""
        self.stop_requests += 1

    # --- watching ---------------------------------------------------------------------------

    def look(self) -> None:
        """One look at everything. Raises GivingUp or PostgresError."""
        if self.server is not None and not self.server.running():
            self._restart_postgres()
        now = time.monotonic()
        for child in self.children:
            child.look(now)

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Looks until `until()` holds or a stop was requested."""
        trimmed = time.monotonic()
        while not self.stop_requests and not until():
            self.look()
            if time.monotonic() - trimmed > 60:
                self._trim_logs()
                trimmed = time.monotonic()
            time.sleep(TICK)

    def run(self, command: list[str]) -> int:
        """Runs a command on our terminal while everything is watched; returns its exit code."""
        guest = subprocess.Popen(
            command,
            cwd=self.base_dir,
            # It speaks to a person; its log lines would stand between its own.
            env={"PULSECLOUD_LOG_LEVEL": "WARNING", **self.environment},
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self.watch(until=lambda: guest.poll() is not None)
        if guest.poll() is None:
            guest.terminate()
            try:
                guest.wait(10)
            except subprocess.TimeoutExpired:
                guest.kill()
        return guest.wait()

    def _restart_postgres(self) -> None:
        deaths = self.server_deaths.count(time.monotonic())
        if deaths >= DEATHS:
            raise GivingUp(
                f"PostgreSQL died {DEATHS} times within a minute.{self.last_words('postgres')}"
            )
        self.say("PostgreSQL ended; starting it again", event="process died", name="postgres")
        time.sleep(backoff(deaths) - BACKOFF_FIRST)
        self.start_postgres()

    # --- stopping ---------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends everything, the last started program first, PostgreSQL at the very end."""
        for child in reversed(self.children):
            self._stop(child)
        if self.server is not None:
            self.server.stop(seconds=5.0 if self.stop_requests > 1 else 30.0)
        self.state.unlink(missing_ok=True)

    def _stop(self, child: Child) -> None:
        process = child.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        deadline = time.monotonic() + child.program.stop_seconds
        while process.poll() is None:
            if time.monotonic() > deadline or self.stop_requests > 1:
                self.say(
                    f"{child.program.name} does not end; killing it",
                    event="process killed",
                    name=child.program.name,
                )
                process.kill()
                process.wait()
                return
            time.sleep(0.02)

    # --- state and logs ---------------------------------------------------------------------

    def write_state(self) -> None:
        pids = {c.program.name: c.process.pid for c in self.children if c.process is not None}
        if self.server is not None:
            pids["postgres"] = self.server.pid
        pids["up"] = os.getpid()
        draft = self.state.with_suffix(".new")
        draft.write_text(json.dumps(pids) + "\n", encoding="utf-8")
        draft.replace(self.state)

    def log_file(self, name: str) -> Path | None:
        if self.log_dir is None:
            return None
        self.log_dir.mkdir(parents=True, exist_ok=True)
        return self.log_dir / f"{name}.log"

    def last_words(self, name: str, lines: int = 8) -> str:
        """The end of a process's log, for the message that gives up."""
        log = self.log_file(name)
        if log is None or not log.exists():
            return ""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
        return f" Its log, {log}, ends:\n" + "\n".join(text.splitlines()[-lines:])

    def _trim_logs(self) -> None:
        """Keeps one older file each. The processes append, so a truncated file simply goes on."""
        if self.log_dir is None:
            return
        for log in self.log_dir.glob("*.log"):
            if log.stat().st_size > LOG_BYTES_MOST:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def ending(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def readiness(address: tuple[str, int]) -> list[str]:
    """Asks /readyz: the facts that block, in words; none when it is ready."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - we dial, not bind
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        answer = connection.getresponse()
        body = answer.read(100_000)
        if answer.status == 200:
            return []
        facts = json.loads(body).get("blocking") or [f"answers {answer.status}"]
        return [f["detail"] if isinstance(f, dict) and "detail" in f else str(f) for f in facts]
    except (OSError, http.client.HTTPException):
        return ["does not answer yet"]
    except (ValueError, AttributeError):
        return ["answers without saying why"]
    finally:
        connection.close()


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
