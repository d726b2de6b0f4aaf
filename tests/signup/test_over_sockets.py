"""The public sign-up on a running product: bodies on the wire, and time as a tell-tale."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tenants import signup_gate
from tenants.models import LimitWindow
from tests.product import Member, Product, plain
from tests.signup.asking import invitation, mailbox


def speak(product: Product, *parts: bytes, seconds: float = 5.0) -> bytes:
    """Sends these bytes on one connection; returns the answer's head and its first bytes."""
    with socket.create_connection(product.web, timeout=seconds) as wire:
        for part in parts:
            wire.sendall(part)
        answer = b""
        try:
            while chunk := wire.recv(65536):
                answer += chunk
                if answer.partition(b"\r\n\r\n")[2]:
                    break
        except TimeoutError:
            pass
        return answer


def head(product: Product, *lines: str) -> bytes:
    own = ["POST /api/public/signup HTTP/1.1", f"Host: localhost:{product.web[1]}"]
    return "\r\n".join([*own, "Content-Type: application/json", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "announced", ["Content-Length: 10737418240", "Content-Length: 65537", "Content-Length: 2000000"]
)
def test_an_oversize_body_is_answered_before_it_is_sent(product: Product, announced: str) -> None:
    begun = time.monotonic()
    answer = speak(product, head(product, announced), b'{"email": "')
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), answer[:200]
    assert time.monotonic() - begun < 4


def test_a_chunked_body_is_refused(product: Product) -> None:
    body = json.dumps({"email": mailbox(), "org_name": "Chunked"}).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = speak(product, head(product, "Transfer-Encoding: chunked"), chunked)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 411")), answer[:200]


@pytest.fixture(autouse=True)
def nobody_asked_before(product: Product) -> None:
    """Everything here comes from loopback, which is not exempt."""
    LimitWindow.objects.all().delete()


def ask(product: Product, **body: str) -> tuple[dict[str, object], float]:
    begun = time.monotonic()
    answer = product.browser().request("POST", "/api/public/signup", json=body)
    return plain(answer), time.monotonic() - begun


@pytest.fixture
def known(product: Product) -> Member:
    return product.signed_up("Known Ltd")


def test_neither_answer_nor_its_time_tells_who_has_an_account(
    product: Product, known: Member
) -> None:
    """Canary invitations pass the limits, so that enough can be asked to compare."""
    answers: list[dict[str, object]] = []
    took: dict[str, list[float]] = {"known": [], "fresh": []}
    for _ in range(6):
        fresh = mailbox()
        for kind, email in (("known", known.email), ("fresh", fresh)):
            token = invitation(fresh, canary=True).token
            answer, seconds = ask(product, email=email, org_name="Timed Ltd", invitation=token)
            answers.append(answer)
            took[kind].append(seconds)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == 202
    # Both wait for the same moment, which comes after either would be done.
    assert min(*took["known"], *took["fresh"]) >= signup_gate.UNIFORM_SECONDS
