"""Messages that are no HTTP, or that two servers in a row would read differently: refused, closed.

Spoken over plain sockets to a running product, as a client or a broken proxy would.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bad_input.conftest import Target
from tests.bad_input.junk import somebody
from tests.bad_input.talking import Answer, Line, answers
from tests.bad_input.watching import Logs, rows

SEED = int(os.environ.get("JUNK_SEED") or secrets.randbelow(2**32))
# RFC 9112 section 6.1: what cannot decode a transfer coding says 501.
REFUSALS = (0, 400, 408, 411, 413, 414, 417, 431, 501, 505)


@contextmanager
def unharmed(target: Target) -> Iterator[None]:
    """No fault in a log, and no row, comes of what happens inside."""
    logs, before = Logs(target.product), rows()
    yield
    assert logs.faults() == []
    assert rows() == before


def say(target: Target, message: bytes, *, seconds: float = 20.0) -> list[Answer]:
    """Every answer to these bytes, sent on a connection of their own and followed by its end."""
    with socket.create_connection(target.product.web, timeout=seconds) as line:
        try:
            line.sendall(message)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed in the middle of it, which is an answer
        return answers(line)


def head(target: Target, first: bytes, *more: bytes) -> bytes:
    host = b"Host: " + target.host("base").encode()
    client = b"X-Forwarded-For: " + somebody().encode()  # no limit per address shall answer
    return b"\r\n".join([first, host, client, *more, b"", b""])


def test_random_bytes(target: Target, looking: None) -> None:
    print(f"JUNK_SEED={SEED}")
    dice = random.Random(f"{SEED} bytes")
    whole = head(target, b"POST /signup HTTP/1.1", b"Content-Length: 5", b"X: y") + b"hello"
    with unharmed(target):
        for _ in range(1000):
            match dice.randrange(4):
                case 0:
                    sent = dice.randbytes(dice.randrange(1, 400))
                case 1:
                    sent = whole[: dice.randrange(len(whole))]
                case 2:
                    flipped = bytearray(whole)
                    for _ in range(dice.randrange(1, 6)):
                        flipped[dice.randrange(len(whole))] = dice.randrange(256)
                    sent = bytes(flipped)
                case _:
                    at = dice.randrange(len(whole))
                    sent = whole[:at] + dice.randbytes(dice.randrange(30)) + whole[at:]
            for answer in say(target, sent):
                assert answer.status < 500 or answer.status in REFUSALS, (sent, answer)


SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 0"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -1"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 1_0"],
        [b"Content-Length: 5 5"],
        [b"Content-Length: \xd9\xa5"],
        [b"Content-Length: 5\x0b"],
        [b"Content-Length: \x85" + b"5"],
        [b"Content-Length: "],
        [b"Content-Length: 99999999999999999999999999"],
        [b"Content-Length : 5"],
        [b"Content_Length: 5", b"Content-Length: 0"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding: chunked\x0c"],
        [b"Transfer-Encoding: chunked\x85"],
        [b"Transfer-Encoding:\x1cchunked"],
        [b"Transfer-Encoding\x0b: chunked"],
        [b"Transfer_Encoding: chunked"],
        [b"Transfer-Encoding: cow", b"Content-Length: 5"],
        [b" Transfer-Encoding: chunked"],
        [b"X: y\r\n Transfer-Encoding: chunked"],
        [b"X: y\nTransfer-Encoding: chunked"],
        [b"X: y\rTransfer-Encoding: chunked"],
        [b"X: \x00y"],
        [b"X\x1d: y"],
        [b"X: \x1ey"],
        [b"X: y\x1f"],
        [b"X: \x7f"],
        [b": y"],
        [b"no colon"],
        [b"Host: other.example"],
        [b"Content-Type: text/plain", b"Content-Type: application/json"],
    ],
    ids=repr,
)
def test_ambiguous_framing_is_refused(target: Target, looking: None, headers: list[bytes]) -> None:
    """Whatever follows such a message is not taken for a request of its own."""
    with unharmed(target):
        sent = head(target, b"POST /api/public/signup HTTP/1.1", *headers)
        found = say(target, sent + b"0\r\n\r\n" + SMUGGLED)
    assert found, "closed without a word"
    assert found[0].status in (400, 411, 413, 501), found
    assert not any(answer.status == 200 for answer in found), found


@pytest.mark.parametrize("odd", [b"\x85", b"\xa0", b"\xe2\x80\xa8", b"\xff"])
@pytest.mark.parametrize("name", [b"X-API-Token", b"Authorization", b"X-Forwarded-For", b"Cookie"])
def test_odd_letters_in_a_header_change_nothing(
    target: Target, looking: None, name: bytes, odd: bytes
) -> None:
    """Python takes some of them for blanks or line ends; HTTP does not."""
    with unharmed(target):
        sent = head(
            target, b"GET /signup HTTP/1.1", name + b": a" + odd + b"b", b"Connection: close"
        )
        (answer,) = say(target, sent)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("first", "allowed"),
    [
        (b"GET / HTTP/1.1 ", (400,)),
        (b"GET  / HTTP/1.1", (400,)),
        (b"GET\t/ HTTP/1.1", (400,)),
        (b"get / HTTP/1.1", (400, 405)),
        (b"GET / HTTP/9.9", (400, 505)),
        (b"GET / HTTX/1.1", (400,)),
        (b"GET /", (400,)),
        (b"GET / FTP/1.1", (400,)),
        (b"GET /\xff HTTP/1.1", (400,)),
        (b"GET /\x0b HTTP/1.1", (400,)),
        (b"GET //evil.example/ HTTP/1.1", (404,)),
        (b"GET http://evil.example/ HTTP/1.1", (400,)),
        (b"GET http://localhost/ HTTP/1.1", (400,)),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1", (400, 414)),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", (404,)),
        (b"GET /static/%2e%2e/%2e%2e/manage.py HTTP/1.1", (404,)),
        (b"GET /static/../../manage.py HTTP/1.1", (404,)),
        (b"OPTIONS * HTTP/1.1", (400, 404)),
        (b"CONNECT evil.example:443 HTTP/1.1", (400, 404, 405)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", (400, 505)),
        (b"X" * 70 + b" / HTTP/1.1", (400, 403, 405)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (0, 400)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_request_lines(
    target: Target, looking: None, first: bytes, allowed: tuple[int, ...]
) -> None:
    with unharmed(target):
        found = say(target, head(target, first, b"Connection: close"))
    assert (found[0].status if found else 0) in allowed, found
    assert not any(b"root:" in answer.body or b"django" in answer.body for answer in found)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:{port}", 200),
        (b"localhost.:{port}", 200),
        (b"localhost:1", 200),
        (b"", 404),
        (b"127.0.0.1:{port}", 404),
        (b"[::1]:{port}", 404),
        (b"[::1", 404),
        (b"localhost:port", 404),
        (b"localhost:999999999999", 200),
        (b"user@localhost", 404),
        (b"localhost/x", 404),
        (b"localhost, evil.example", 404),
        (b"evil.example", 404),
        (b"localhost.evil.example", 404),
        (b"xlocalhost", 404),
        (b".localhost", 404),
        (b"a.b.localhost", 404),
        (b"under_score.localhost", 404),
        (b"-dash.localhost", 404),
        (b"xn--80ak6aa92e.localhost", 404),
        (b"admin.localhost", 404),
        (b"ab.localhost", 404),
        (b"a" * 41 + b".localhost", 404),
        (b"a" * 4000 + b".localhost", 404),
        (b"caf\xc3\xa9.localhost", 404),
        (b"\xff.localhost", 404),
        (b"nobody-has-this.localhost", 404),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hosts(target: Target, looking: None, host: bytes, status: int) -> None:
    """/signup is there on the base domain only; a label nobody has looks like any other."""
    host = host.replace(b"{port}", str(target.product.web[1]).encode())
    sent = b"GET /signup HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    with unharmed(target):
        (answer,) = say(target, sent)
    assert answer.status in (status, 400) if status == 404 else answer.status == status


def test_no_host_at_all(target: Target, looking: None) -> None:
    with unharmed(target):
        (old,) = say(target, b"GET /signup HTTP/1.0\r\n\r\n")
        (new,) = say(target, b"GET /signup HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert old.status in (400, 404) and new.status in (400, 404)


@pytest.mark.parametrize("path", ["/", "/api/organisation", "/hand-off", "/pair", "/api/nothing"])
@pytest.mark.parametrize("form", ["{}", "{}.", "upper", "{}:1"])
def test_known_and_unknown_labels_answer_alike(
    target: Target, looking: None, path: str, form: str
) -> None:
    """However the host is spelt."""
    known, unknown = target.organisation.label, "canary-000000000000"
    assert len(known) == len(unknown)

    def ask(label: str) -> tuple[int, bytes, dict[str, str]]:
        host = f"{label}.localhost"
        host = host.upper() if form == "upper" else form.format(host)
        sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        (answer,) = say(target, sent)
        telling = {
            name: value.lower().replace(label, "LABEL")
            for name, value in answer.headers.items()
            if name not in ("date", "expires", "x-request-id", "set-cookie")
        }
        return answer.status, answer.body.lower().replace(label.encode(), b"LABEL"), telling

    with unharmed(target):
        assert ask(known) == ask(unknown)


def test_many_and_long_headers(target: Target, looking: None) -> None:
    with unharmed(target):
        many = [b"X-%d: y" % n for n in range(200)]
        assert say(target, head(target, b"GET / HTTP/1.1", *many))[0].status in (400, 431)
        long = b"X: " + b"y" * 20_000
        assert say(target, head(target, b"GET / HTTP/1.1", long))[0].status in (400, 431)


def test_a_client_that_vanishes(target: Target, looking: None) -> None:
    """In the middle of a body: nothing is done, and nobody is told of an error."""
    sent = head(
        target,
        b"POST /api/public/signup HTTP/1.1",
        b"Content-Type: application/json",
        b"Content-Length: 5000",
    )
    with unharmed(target):
        for ending in (socket.SHUT_WR, socket.SHUT_RDWR):
            with socket.create_connection(target.product.web, timeout=20) as line:
                line.sendall(sent + b'{"email": "')
                line.shutdown(ending)
                if ending == socket.SHUT_WR:
                    assert answers(line)[0].status == 400
        with Line(target.product.web) as line_:
            assert line_.ask(head(target, b"GET /livez HTTP/1.1")).status == 200
