"""Bodies that are too large are refused before they are read, and slow clients lose their turn."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection

import psycopg
import pytest
from django.db import connection

from pulsecloud.gunicorn_worker import READ_SECONDS_BUSY
from tests import databases
from tests.bad_input.conftest import Target
from tests.bad_input.junk import somebody
from tests.bad_input.talking import Answer, Line, answers, message
from tests.bad_input.watching import Logs, memory, rows

MIB = 1024 * 1024
HUGE = 10 * 1024 * MIB
# Every address that takes a body from a stranger, and what it says to one that is too large.
STRANGERS = {
    "/api/public/signup": 400,  # the contract's invalid_request
    "/api/entitlements/refresh": 413,
    "/signup": 413,
    "/accounts/login/": 413,
    "/accounts/password/reset/": 413,
    "/admin/login/": 413,
    "/nowhere": 413,
}
MEMBERS = ["/api/security/tokens/relay-mobile", "/api/onboarding/validate", "/pair", "/devices"]


@contextmanager
def unharmed(target: Target) -> Iterator[None]:
    logs, before = Logs(target.product), rows()
    yield
    assert logs.faults() == []
    assert rows() == before


def announce(
    target: Target, path: str, size: int, *more: tuple[str, bytes], host: str = "base"
) -> bytes:
    """The head of a POST with a body of that size."""
    headers = [
        ("Host", target.host(host).encode()),
        ("X-Forwarded-For", somebody().encode()),
        ("Content-Type", b"application/json"),
        ("Content-Length", str(size).encode()),
        *more,
    ]
    return message("POST", path, headers)


@pytest.mark.parametrize(("path", "status"), STRANGERS.items())
def test_the_announced_size_is_enough(
    target: Target, looking: None, path: str, status: int
) -> None:
    """Not one byte of the body is sent, and the answer comes all the same."""
    with unharmed(target):
        begun = time.monotonic()
        with Line(target.product.web, seconds=10) as line:
            answer = line.ask(announce(target, path, HUGE))
        assert answer.status in (status, 413)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("path", MEMBERS)
def test_the_same_for_who_may_send_something(target: Target, looking: None, path: str) -> None:
    token = ("X-API-Token", target.token.encode())
    with unharmed(target), Line(target.product.web, seconds=10) as line:
        answer = line.ask(announce(target, path, HUGE, token, host="organisation"))
    assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "most"),
    [("/api/public/signup", 64 * 1024), ("/api/entitlements/refresh", 16 * 1024)],
)
def test_the_limit_itself(target: Target, looking: None, path: str, most: int) -> None:
    """A body of just the limit is read and judged by what it says; one more byte is not."""
    with unharmed(target), Line(target.product.web) as line:
        whole = line.ask(announce(target, path, most) + b'"' + b"x" * (most - 2) + b'"')
        assert whole.status == 400
        more = line.ask(announce(target, path, most + 1))
        assert more.status in (400, 413)
        assert more.status == 413 or b"large" in more.body or b"bytes" in more.body


def test_pushed_bodies_stay_out_of_memory(target: Target, looking: None) -> None:
    """40 clients push what they were told not to; web's own memory does not follow."""
    Line(target.product.web).ask(
        message("GET", "/signup", [("Host", target.host("base").encode())])
    )
    before = memory(target.product)
    push = b"x" * MIB
    with unharmed(target), ExitStack() as open_lines:
        for number in range(40):
            path = list(STRANGERS)[number % len(STRANGERS)]
            line = socket.create_connection(target.product.web, timeout=20)
            open_lines.enter_context(line)
            try:
                line.sendall(announce(target, path, HUGE))
                for _ in range(3):
                    line.sendall(push)
            except (OSError, TimeoutError):
                pass  # closed, as it may be
        grown = memory(target.product) - before
    print(f"grown by {grown / MIB:.1f} MiB after 120 MiB were pushed")
    assert grown < 24 * MIB


def test_endless_chunks(target: Target, looking: None) -> None:
    """A chunked body announces no size: it is refused, and the connection ends soon."""
    head = message(
        "POST",
        "/api/public/signup",
        [
            ("Host", target.host("base").encode()),
            ("Transfer-Encoding", b"chunked"),
            ("Content-Length", b""),
        ],
    ).replace(b"Content-Length: \r\n", b"")
    begun = time.monotonic()
    with unharmed(target), socket.create_connection(target.product.web, timeout=20) as line:
        sent = 0
        try:
            line.sendall(head)
            while time.monotonic() - begun < 20:
                line.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:
            pass
    assert time.monotonic() - begun < 15
    assert sent < 64 * MIB


def test_expectations(target: Target, looking: None) -> None:
    """Nobody is asked to go on with a body that is too large."""
    with unharmed(target), socket.create_connection(target.product.web, timeout=20) as line:
        line.sendall(
            announce(target, "/signup", HUGE, ("Expect", b"100-continue"), ("Connection", b"close"))
        )
        found: list[Answer] = answers(line)
    assert 413 in [answer.status for answer in found]


@pytest.mark.parametrize("part", ["head", "body"])
def test_slow_clients_hold_nobody_up(target: Target, looking: None, part: str) -> None:
    """More of them than web has threads, in the middle of a request: others are served soon."""
    head = announce(target, "/api/public/signup", 1000)
    start = head[:-2] if part == "head" else head + b"{"
    with unharmed(target), ExitStack() as open_lines:
        for _ in range(60):
            line = open_lines.enter_context(
                socket.create_connection(target.product.web, timeout=60)
            )
            line.sendall(start)
        begun = time.monotonic()
        with Line(target.product.web, seconds=60) as other:
            asked = message("GET", "/livez", [("Host", b"localhost"), ("Connection", b"close")])
            assert other.ask(asked).status == 200
        print(f"served after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 30


def test_who_waits_long_may_ask_again(target: Target, looking: None) -> None:
    """Web is slow, not its clients: every one of them is answered, and again on the same connection."""
    name = connection.settings_dict["NAME"]
    with ExitStack() as held:
        lines = [
            held.enter_context(closing(HTTPConnection(*target.product.web, timeout=60)))
            for _ in range(60)
        ]
        with psycopg.connect(databases.url(name)) as other:
            other.execute("LOCK TABLE tenants_rollout IN ACCESS EXCLUSIVE MODE")
            for line in lines:
                line.request("GET", "/signup", headers={"Host": target.host("base")})
            time.sleep(READ_SECONDS_BUSY + 2)
            other.rollback()
        for line in lines:
            first = line.getresponse()
            first.read()
            line.request("GET", "/livez", headers={"Host": "localhost"})
            assert (first.status, line.getresponse().status) == (200, 200)
