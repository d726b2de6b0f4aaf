"""A thousand random requests to every part of web: no fault, no traceback, nothing left behind.

Every one of them is bad in a way that has to be refused, or asks for nothing that changes anything.
`JUNK_SEED=n` repeats a run; `--long` sends a thousand to every single address.
"""

from __future__ import annotations

import os
import random
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

from tests.bad_input.conftest import Target
from tests.bad_input.junk import CONTENT_TYPES, METHODS, Junk
from tests.bad_input.routes import BASE, Route, families, routes
from tests.bad_input.talking import Answer, Line, message
from tests.bad_input.watching import Logs, jobs, rows

SENDERS = 4
DATA = ("application/json", "application/problem+json", "text/plain")
CSRF = "a" * 32  # cookie and field are compared with each other, so anybody can make a pair
SEED = int(os.environ.get("JUNK_SEED") or secrets.randbelow(2**32))


def request(dice: random.Random, target: Target, route: Route) -> tuple[str, str, bytes]:
    """(who asks, method, message)."""
    junk = Junk(dice)
    method = dice.choice(METHODS)
    who = dice.choice(["stranger", "stranger", "owner", "staff", "token", "phone"])
    headers: list[tuple[str, bytes]] = [
        ("Host", target.host(route.host).encode()),
        ("X-Forwarded-For", junk.address().encode()),
    ]
    headers += [junk.header() for _ in range(dice.choice([0, 0, 1, 3]))]
    session = target.sessions.get((who, route.host))
    cookies = f"csrftoken={CSRF}" + (
        f"; {settings.SESSION_COOKIE_NAME}={session}" if session else ""
    )
    # Who is known sends forms without their token: with it they would be in order.
    trusted = who == "stranger" or route.api
    if who in ("token", "phone"):
        headers.append(("X-API-Token", (target.token if who == "token" else target.phone).encode()))
    if session or dice.random() < 0.6:
        headers = [h for h in headers if h[0] not in ("Cookie", "Origin")]
        headers.append(("Cookie", cookies.encode()))
    if trusted and dice.random() < 0.7:
        headers.append(("X-CSRFToken", CSRF.encode()))
    kind, body = b"", b""
    if method in ("POST", "PUT", "PATCH", "DELETE") or dice.random() < 0.1:
        kind, body = content(dice, junk, route, signed_in=who != "stranger")
        headers.append(("Content-Type", kind))
    path = route.path
    while "{}" in path:
        path = path.replace("{}", junk.segment() or "-", 1)
    target_line = "".join(c if "!" <= c <= "~" else "%20" for c in path + junk.query())[:7000]
    return who, method, message(method, target_line, unique(headers), body)


def content(
    dice: random.Random, junk: Junk, route: Route, *, signed_in: bool
) -> tuple[bytes, bytes]:
    """(content type, body). Who may act gets no body that could be acted upon."""
    if signed_in and route.api:
        return dice.choice(CONTENT_TYPES).encode("latin-1"), junk.refused_json()
    fixed = {} if signed_in else {"csrfmiddlewaretoken": CSRF}
    match dice.randrange(5):
        case 0:
            return dice.choice(CONTENT_TYPES).encode("latin-1"), junk.json()
        case 1:
            return b"multipart/form-data; boundary=edge", junk.multipart("edge", **fixed)
        case 2:
            return b"application/x-www-form-urlencoded", junk.refused_json()
        case _ if route.api:
            return b"application/json", junk.json()
        case _:
            return b"application/x-www-form-urlencoded", junk.form(**fixed)


def unique(headers: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The last of each name; twice the same is for the tests of framing."""
    return list({name.lower(): (name, value) for name, value in headers}.values())


def complaint(route: Route, method: str, answer: Answer) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if answer.status == 0:
        return "no answer"
    if answer.status >= 500:
        return f"status {answer.status}"
    if b"Traceback" in answer.body or b"DETAIL:" in answer.body:
        return "tells of our inside"
    if route.api and answer.body and answer.status != 414:
        picture = answer.type == "image/svg+xml" and answer.status == 200
        if not picture and answer.type not in DATA:
            return f"an API answers {answer.type!r} with status {answer.status}"
        # The door's form is {"error": code, "message"}; all others have a field of that name.
        coded = b'"code"' in answer.body or answer.body.startswith(b'{"error":')
        if answer.status >= 400 and answer.type != "text/plain" and not coded:
            return f"no code: {answer.body[:200]!r}"
    if answer.status == 405 and "allow" not in answer.headers and method != "TRACE":
        return "405 without Allow"
    return ""


def bombard(target: Target, some: list[Route], count: int, seed: str) -> list[str]:
    """Sends `count` requests to these addresses in turn; what is wrong, a few of each kind."""
    found: dict[tuple[str, str], str] = {}

    def send(sender: int) -> None:
        dice = random.Random(f"{seed} {sender}")
        with Line(target.product.web) as line:
            for number in range(sender, count, SENDERS):
                route = some[number % len(some)]
                who, method, asked = request(dice, target, route)
                answer = line.ask(asked, method=method)
                if wrong := complaint(route, method, answer):
                    shown = f"{wrong}: {who} {short(asked)!r} -> {short(answer.body)!r}"
                    found.setdefault((route.path, wrong), shown)

    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, range(SENDERS)))
    return list(found.values())[:8]


def short(text: bytes) -> bytes:
    """For a failure's message: long runs of one byte are cut."""
    return re.sub(rb"(.)\1{9,}", rb"\1\1\1...", text)[:700]


def check(target: Target, some: list[Route], count: int, seed: str) -> None:
    print(f"JUNK_SEED={SEED}")
    logs, before, queued = Logs(target.product), rows(), jobs()
    wrong = bombard(target, some, count, seed)
    assert not (wrong + (faults := logs.faults())), "\n\n".join(wrong + faults[:5])
    after = rows()
    assert {table: n for table, n in after.items() if before.get(table) != n} == {}
    assert jobs() == queued
    target.organisation.refresh_from_db()
    assert target.organisation.state == "active"


@pytest.mark.parametrize("family", sorted(families()))
def test_a_thousand_to_every_family(target: Target, looking: None, family: str) -> None:
    check(target, families()[family], 1000, f"{SEED} {family}")


@pytest.mark.long
@pytest.mark.parametrize("route", routes(), ids=lambda r: f"{r.host} {r.path}")
def test_a_thousand_to_every_address(target: Target, looking: None, route: Route) -> None:
    check(target, [route], 1000, f"{SEED} {route}")


def test_the_search_bites(target: Target, looking: None) -> None:
    """A row that appears and an error in a log are seen."""
    from tests.factories import make_user

    logs, before = Logs(target.product), rows()
    make_user()
    with (target.product.data_dir / "logs" / "web.log").open("a") as log:
        log.write('{"level": "error", "event": "planted"}\n')
    assert rows() != before
    assert "planted" in logs.faults()[0]
    assert BASE in {route.host for route in routes()}
