"""Limits as the shipped web server keeps them: several processes, real sockets, forged headers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tenants import request_limits
from tests import databases
from tests.factories import make_organisation, make_token
from tests.product import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 20


@contextmanager
def web(database: str, **settings: str) -> Iterator[str]:
    """gunicorn with two processes; yields its origin."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf"],
        cwd=ROOT,
        env={
            **databases.environment(database),
            "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{port}",
            "PULSECLOUD_WEB_WORKERS": "2",
            "PATH": os.environ["PATH"],
            **settings,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert server.poll() is None, "the web server ended"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def ask(origin: str, headers: Sequence[dict[str, str]], path: str = "/api/x") -> Counter[int]:
    """All of them over connections of their own, so that both processes get some."""

    def one(each: dict[str, str]) -> int:
        sent = {"Host": "localhost", **each}
        return httpx.get(origin + path, headers=sent, timeout=60).status_code

    with ThreadPoolExecutor(6) as pool:
        return Counter(pool.map(one, headers))


@pytest.mark.covers("F71")
def test_without_a_trusted_proxy_nobody_talks_themselves_another_address(
    live_db: None, database_name: str
) -> None:
    with web(database_name, PULSECLOUD_REQUESTS_PER_ADDRESS=str(LIMIT)) as origin:
        forged = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in range(3 * LIMIT)]
        answers = ask(origin, forged)
        # A minute may end in between, and then there is a share of the limit more.
        assert answers[429] >= LIMIT and answers[404] <= 2 * LIMIT
        # Programs on this machine are left out, the runtime with its phones among them.
        assert ask(origin, [{}] * 2 * LIMIT) == {404: 2 * LIMIT}
        assert ask(origin, [{"Forwarded": "for=_phone"}] * 2 * LIMIT) == {404: 2 * LIMIT}


@pytest.mark.covers("F71")
def test_behind_a_trusted_proxy_only_what_it_wrote_counts(
    live_db: None, database_name: str
) -> None:
    with web(
        database_name, PULSECLOUD_REQUESTS_PER_ADDRESS=str(LIMIT), TRUSTED_PROXIES="127.0.0.1"
    ) as origin:
        liar = [{"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.77"} for n in range(3 * LIMIT)]
        answers = ask(origin, liar)
        assert answers[429] >= LIMIT and answers[404] <= 2 * LIMIT
        others = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(2 * LIMIT)]
        assert ask(origin, others) == {404: 2 * LIMIT}


def test_processes_share_the_budget_of_an_organisation(live_db: None, database_name: str) -> None:
    organisation, other = make_organisation(), make_organisation()
    mine, theirs = make_token(organisation), make_token(other)
    with web(database_name, PULSECLOUD_REQUESTS_PER_ORGANISATION=str(LIMIT)) as origin:
        sent = {"Host": organisation.instance_host, "X-API-Token": mine}
        answers = ask(origin, [sent] * 3 * LIMIT, "/api/organisation")
        assert answers[429] >= LIMIT and answers[200] <= 2 * LIMIT
        sent = {"Host": other.instance_host, "X-API-Token": theirs}
        assert ask(origin, [sent], "/api/organisation") == {200: 1}


def test_refusals_take_their_time_and_never_all_threads(live_db: None, database_name: str) -> None:
    """A program that asks again at once asks less often; its neighbours find a thread all the same."""
    organisation, other = make_organisation(), make_organisation()
    noisy = {"Host": organisation.instance_host, "X-API-Token": make_token(organisation)}
    quiet = {"Host": other.instance_host, "X-API-Token": make_token(other)}
    crowd, over = 24, threading.Event()
    with web(
        database_name,
        PULSECLOUD_REQUESTS_PER_ORGANISATION=str(LIMIT),
        PULSECLOUD_WEB_WORKERS="1",
        PULSECLOUD_WEB_THREADS="4",
    ) as origin:
        while ask(origin, [noisy], "/api/organisation") == {200: 1}:
            pass

        def refused() -> float:
            """Seconds that a refusal took; now and then there is a permit again."""
            begun = time.monotonic()
            status = httpx.get(origin + "/api/organisation", headers=noisy).status_code
            return time.monotonic() - begun if status == 429 else 0.0

        late = until(refused)

        def shout() -> None:
            with httpx.Client(timeout=60) as client:
                while not over.is_set():
                    client.get(origin + "/api/organisation", headers=noisy)

        with ThreadPoolExecutor(crowd) as pool:
            for _ in range(crowd):
                pool.submit(shout)
            try:
                answers = ask(origin, [quiet] * LIMIT, "/api/organisation")
            finally:
                over.set()
    assert late >= request_limits.DELAY
    assert answers == {200: LIMIT}
