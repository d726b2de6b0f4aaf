"""manage.py up: starts everything and keeps it running."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from pulsecloud import preparation
from pulsecloud.postgres_place import PostgresError
from pulsecloud.preparation import CannotStart
from pulsecloud.supervisor import GivingUp, Program, Supervisor, python, readiness

PROGRAMS = ("web", "relay", "worker", "runtime")
COMPLAIN_AFTER, COMPLAIN_EVERY = 20.0, 20.0


class Command(BaseCommand):
    help = (
        "Starts PostgreSQL (unless DATABASE_URL is set), brings database, keys and static files up "
        "to date, then runs web, relay, worker and runtime. Restarts what dies; gives up when one "
        "dies five times within a minute. Ctrl-C or SIGTERM stops everything in order."
    )
    requires_system_checks: list[str] = []  # they run once the database answers

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--logs",
            choices=["files", "stdout"],
            default="stdout" if settings.PRODUCTION else "files",
            help="where the processes log: a file each in <data directory>/logs, or this terminal "
            "(default: files in development, stdout in production)",
        )
        parser.add_argument(
            "--once-ready",
            metavar="COMMAND",
            help="a manage.py command, such as 'prove --json', run once when everything is ready",
        )
        parser.add_argument(
            "--then-stop",
            action="store_true",
            help="stop when that command ended, with its exit code",
        )
        parser.add_argument(
            "--without",
            action="append",
            default=[],
            choices=PROGRAMS,
            help="leave this process out; may be repeated",
        )

        parser.add_argument(
            "--register-missing",
            action="store_true",
            help="first register active organisations that have no relay registration; their "
            "identities are new, so phones paired with them must pair again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.files = options["logs"] == "files"
        self.log = structlog.get_logger("pulsecloud.up")
        began = time.monotonic()
        data_dir: Path = settings.DATA_DIR
        supervisor = self._supervisor(data_dir)
        held: IO[str] | None = None
        code = 0
        try:
            preparation.refuse_published_secrets()
            held = preparation.lock(data_dir)
            preparation.wait_for_leftovers(supervisor.state)
            preparation.check_port("PULSECLOUD_WEB_ADDR", settings.WEB_ADDR)
            preparation.check_port("PULSE_RELAY_ADDR", settings.RELAY_ADDR)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, supervisor.request_stop)
            self._prepare(supervisor, register_missing=options["register_missing"])
            if not supervisor.stop_requests:
                supervisor.start([p for p in self._programs() if p.name not in options["without"]])
                self._wait_until_ready(supervisor, began, options["without"])
            if options["once_ready"] and not supervisor.stop_requests:
                command = python("manage.py", *shlex.split(options["once_ready"]))
                code = supervisor.run(command)
                if options["then_stop"]:
                    supervisor.stop_requests = supervisor.stop_requests or 1
                else:
                    code = 0
            supervisor.watch()
        except (CannotStart, PostgresError, GivingUp) as error:
            raise CommandError(str(error)) from error
        finally:
            if held is not None:
                self._stop(supervisor)
                held.close()
        if code:
            sys.exit(code)

    # --- the stages ---------------------------------------------------------------------------

    def _prepare(self, supervisor: Supervisor, *, register_missing: bool) -> None:
        self.say(
            f"PulseCloud {settings.VERSION}, data in {settings.DATA_DIR}, hosted mode "
            + ("on" if settings.HOSTED_MODE else "off (set PULSE_HOSTED_MODE=true)"),
            event="starting",
            version=settings.VERSION,
            hosted_mode=settings.HOSTED_MODE,
        )
        steps: list[tuple[str, Callable[[], str | None]]] = [
            ("PostgreSQL", supervisor.start_postgres)
            if settings.EMBEDDED_POSTGRES
            else ("database", preparation.database_answers),
            ("migrations", preparation.migrate),
            ("organisations' tables", preparation.prepare_schemas),
            ("static files", preparation.collect_static),
            ("signing keys", preparation.ensure_keys),
            ("metrics directory", preparation.empty_metrics),
            ("system checks", preparation.check),
        ]
        if register_missing:
            steps.insert(-1, ("relay registrations", preparation.register_missing))
        for name, step in steps:
            if supervisor.stop_requests:
                return
            begun = time.monotonic()
            said = step()
            self._step(name, time.monotonic() - begun, said or "")
        connections.close_all()

    def _wait_until_ready(self, supervisor: Supervisor, began: float, without: list[str]) -> None:
        begun = time.monotonic()
        complain_at = begun + COMPLAIN_AFTER
        asked = {"web": settings.WEB_ADDR, "relay": settings.RELAY_ADDR}
        waiting = {name: address for name, address in asked.items() if name not in without}
        if "worker" in without:
            waiting.pop("web", None)  # never ready without a worker, and right to say so

        def ready() -> bool:
            nonlocal complain_at
            facts = {name: readiness(address) for name, address in waiting.items()}
            for name in [n for n, blocking in facts.items() if not blocking]:
                del waiting[name]
            if waiting and time.monotonic() > complain_at:
                complain_at = time.monotonic() + COMPLAIN_EVERY
                for name in waiting:
                    self.say(f"{name} is not ready: {' '.join(facts[name])}", event="not ready")
            return not waiting

        supervisor.watch(until=ready)
        if supervisor.stop_requests:
            return
        names = ", ".join(c.program.name for c in supervisor.children)
        self._step(names, time.monotonic() - begun, "")
        logs = f"; logs in {supervisor.log_dir}" if self.files else ""
        self.say(
            f"Ready after {time.monotonic() - began:.1f} s at {settings.PUBLIC_URL}{logs}",
            event="ready",
            seconds=round(time.monotonic() - began, 1),
        )

    def _stop(self, supervisor: Supervisor) -> None:
        if supervisor.children or supervisor.server:
            self.say("Stopping", event="stopping")
        supervisor.stop()
        if supervisor.children or supervisor.server:
            self.say("Stopped", event="stopped")

    # --- what there is to run -----------------------------------------------------------------

    def _supervisor(self, data_dir: Path) -> Supervisor:
        return Supervisor(
            base_dir=settings.BASE_DIR,
            data_dir=data_dir,
            embedded=settings.EMBEDDED_POSTGRES,
            log_dir=data_dir / "logs" if self.files else None,
            state=data_dir / "up.json",
            environment={**os.environ, "PYTHONUNBUFFERED": "1"},
            say=self.say,
        )

    def _programs(self) -> list[Program]:
        """In the order of starting; the last is stopped first."""
        return [
            Program("web", python("-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf"), 20),
            Program("worker", python("manage.py", "worker"), 20),
            Program("relay", python("manage.py", "relay"), settings.RELAY_DRAIN_TIMEOUT + 10),
            Program("runtime", python("manage.py", "runtime"), 15),
        ]

    # --- saying it ----------------------------------------------------------------------------

    def say(self, text: str, *, event: str, **facts: Any) -> None:
        """A sentence for a person at the terminal, or one JSON line when logs go to stdout."""
        if self.files:
            self.stdout.write(text)
            self.stdout.flush()
        else:
            self.log.info(event, detail=text, **facts)

    def _step(self, name: str, seconds: float, said: str) -> None:
        dots = "." * max(2, 44 - len(name))
        suffix = f"  ({said})" if said else ""
        self.say(
            f"  {name} {dots} {seconds:5.1f} s{suffix}",
            event="step done",
            step=name,
            seconds=round(seconds, 2),
        )
