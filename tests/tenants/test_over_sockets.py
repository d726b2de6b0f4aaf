"""The door as the shipped web server runs it: many threads, real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests import databases
from tests.factories import make_organisation, make_token, unique
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def web(database_name: str) -> Iterator[tuple[str, int]]:
    """gunicorn with one process and many threads, so that connections are shared out to all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf"],
        cwd=ROOT,
        env={
            **databases.environment(database_name),
            "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{address[1]}",
            "PULSECLOUD_WEB_WORKERS": "1",
            "PULSECLOUD_WEB_THREADS": "8",
            "PATH": os.environ["PATH"],
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert server.poll() is None, "the web server ended"
        try:
            return httpx.get(f"http://127.0.0.1:{address[1]}/livez").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 30)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


@pytest.mark.covers("F01", "F02")
def test_every_thread_answers_for_the_organisation_that_was_asked(
    live_db: None, web: tuple[str, int]
) -> None:
    organisations = [make_organisation() for _ in range(4)]
    tokens = {o.label: make_token(o) for o in organisations}

    def ask(number: int) -> tuple[int, str, str]:
        organisation = organisations[number % len(organisations)]
        # Every third call brings a neighbour's token, every fifth asks for what is not there.
        neighbour = organisations[(number + 1) % len(organisations)]
        secret = tokens[neighbour.label if number % 3 == 0 else organisation.label]
        path = "/api/nothing" if number % 5 == 0 else "/api/organisation"
        answer = client.get(
            f"http://127.0.0.1:{web[1]}{path}",
            headers={"Host": organisation.instance_host, "X-API-Token": secret},
            timeout=30,
        )
        expected = 404 if number % 5 == 0 else 200
        if number % 3 == 0:
            expected = 401
        label = answer.json().get("label", organisation.label)
        return answer.status_code - expected, label, organisation.label

    with httpx.Client() as client, ThreadPoolExecutor(16) as pool:
        for wrong, said, asked in pool.map(ask, range(200)):
            assert (wrong, said) == (0, asked)


def exchange(web: tuple[str, int], request: str) -> bytes:
    """Sends exactly these bytes and returns the status line; the request is never completed."""
    with socket.create_connection(web, timeout=10) as caller:
        caller.sendall(request.encode("latin-1"))
        return caller.makefile("rb").readline().strip()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 10000000000\r\n", b"413"),
        ("Content-Length: 1048577\r\n", b"413"),
        ("Transfer-Encoding: chunked\r\n", b"411"),
        ("Content-Length: minus\r\n", b"400"),
        ("Content-Length: -5\r\n", b"400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", b"400"),
    ],
)
@pytest.mark.parametrize("host", ["localhost", "unknown-label.localhost"])
def test_a_body_is_refused_before_any_of_it_was_sent(
    web: tuple[str, int], host: str, headers: str, status: bytes
) -> None:
    line = exchange(
        web,
        f"POST /api/onboarding/validate HTTP/1.1\r\nHost: {host}\r\n{headers}"
        "Content-Type: application/json\r\n\r\n",
    )
    assert line.split()[1] == status


@pytest.mark.parametrize("host", ["example.org", "", "a b", "x" * 300, "\x80\xff", "127.0.0.1"])
def test_a_foreign_host_is_not_served(web: tuple[str, int], host: str) -> None:
    line = exchange(web, f"GET /api/organisation HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert line.split()[1] in (b"404", b"400")


def test_known_and_unknown_labels_answer_the_same_bytes(
    live_db: None, web: tuple[str, int]
) -> None:
    """The whole answer on the wire, save the request's id and the clock."""

    def raw(host: str) -> list[bytes]:
        with socket.create_connection(web, timeout=10) as caller:
            caller.sendall(
                f"GET /api/organisation HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            lines = caller.makefile("rb").read().split(b"\r\n")
        varying = (b"date:", b"x-request-id:", b"expires:")
        return [line for line in lines if not line.lower().startswith(varying)]

    known = raw(make_organisation().instance_host)
    assert known[0].startswith(b"HTTP/1.1 401")
    assert known == raw(f"{unique('unknown')}.localhost")
