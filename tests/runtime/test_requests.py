"""What becomes of a phone's request on its way to `web` and back (relay-protocol section 10)."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.wire import proxy
from relay.wire.frames import ChannelClose
from tests.runtime.conftest import Tenant, make_tenant
from tests.runtime.scripted_web import Asked, ScriptedWeb, answer, scripted_web
from tests.runtime.stage import Peer, ids, running, scripted_relay_stage
from tests.waiting import until_async

LIMIT = 47 * 1024


@pytest.fixture(scope="module")
def tenant(live_db_session: None) -> Tenant:
    """One for all: nothing here changes it."""
    return make_tenant()


@dataclass
class Set:
    """A registered runtime with one open channel; `answers` maps a target to raw bytes."""

    peer: Peer
    web: ScriptedWeb
    answers: dict[str, bytes] = field(default_factory=dict)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, **asked: Any) -> proxy.Response:
        return await self.peer.ask_plainly(1, **asked)


@pytest.fixture
async def stand(quick: Any, tenant: Tenant) -> AsyncIterator[Set]:
    stand: Set

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target == "/hold":
            await stand.hold.wait()
        writer.write(stand.answers.get(asked.target, answer()))

    quick.PUBLIC_URL = "http://localhost:8000"
    async with (
        scripted_web(script) as web,
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url, WEB_ADDR=web.address),
    ):
        peer = await stage.registered(tenant.instance_id)
        await peer.open_channel(1, tenant.token)
        stand = Set(peer, web)
        yield stand


async def test_request_arrives_for_the_organisation_with_its_token(
    stand: Set, tenant: Tenant
) -> None:
    """Host from the organisation, the channel's token, no trust in anything else."""
    response = await stand.ask(method="post", path=" api/x?y=1 ", body=b'{"a":1}')
    assert response.status == 200 and response.body == b"{}" and response.id == "r1"
    (asked,) = stand.web.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/api/x?y=1", b'{"a":1}')
    assert asked.headers["host"] == f"{tenant.organisation.instance_host}:8000"
    assert asked.headers["x-api-token"] == tenant.token
    assert set(asked.headers) == {
        *("host", "x-api-token", "user-agent", "forwarded", "content-length")
    }


@pytest.mark.covers("F50")
async def test_only_allowed_request_headers_are_passed_on(stand: Set, tenant: Tenant) -> None:
    allowed = {
        "Accept": "application/json",
        "accept-encoding": "identity",
        "Accept-Language": "de",
        " Content-Type ": "text/plain",
        "If-Match": '"a"',
        "If-None-Match": '"b"',
        "If-Modified-Since": "Tue, 01 Jan 2030 00:00:00 GMT",
    }
    refused = {
        "Authorization": "Bearer x",
        "Cookie": "pulsecloud_session=x",
        "X-API-Token": "0" * 64,
        "X-Forwarded-For": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
        "X-Forwarded-Host": "evil.test",
        "Host": "evil.test",
        "Origin": "https://evil.test",
        "User-Agent": "x",
        "X-Pulse-Org-ID": "other",
        "Transfer-Encoding": "chunked",
        "Connection": "upgrade",
        "Upgrade": "h2c",
        "X-Request-Id": "x",
    }
    assert (await stand.ask(headers={**allowed, **refused})).status == 200
    headers = stand.web.asked[0].headers
    ours = {"host", "x-api-token", "user-agent", "forwarded"}
    assert set(headers) - ours == {name.strip().lower() for name in allowed}
    assert headers["x-api-token"] == tenant.token
    assert headers["user-agent"] == "PulseCloud-Runtime"
    assert headers["forwarded"] == "for=_phone"


@pytest.mark.covers("F50")
@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "a\r\nX-Api-Token: stolen"},
        {"Accept": "a\nHost: evil.test"},
        {"Content-Type": "a\x00b"},
        {"Accept-Language": "\u2028\u00e9"},
        {"Content-Length": "5000"},
        {"content-length": "0"},
    ],
)
async def test_headers_cannot_smuggle_or_lie(stand: Set, headers: dict[str, str]) -> None:
    response = await stand.ask(method="POST", headers=headers, body=b"abc")
    assert response.status == 200
    (asked,) = stand.web.asked
    assert asked.body == b"abc" and asked.headers["content-length"] == "3"
    assert "stolen" not in str(asked.headers) and "evil" not in str(asked.headers)


@pytest.mark.covers("F50")
@pytest.mark.parametrize(
    "path",
    ["http://169.254.169.254/x", "//169.254.169.254/x", "/a\r\nX: y", "https:evil", "/%zz", " "],
)
async def test_paths_that_lead_elsewhere_are_refused(stand: Set, path: str) -> None:
    response = await stand.ask(path=path)
    assert response.status == 400 and response.id == "r1"
    assert "error" in json.loads(response.body)
    assert response.headers["Content-Type"] == "application/json"
    assert stand.web.asked == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET / HTTP/1.1\r\nX: y", "G\x00T", "ŒT"])
async def test_other_methods_are_refused(stand: Set, method: str) -> None:
    assert (await stand.ask(method=method)).status == 400
    assert stand.web.asked == []


async def test_path_is_passed_on_byte_for_byte(stand: Set) -> None:
    await stand.ask(path="/api/../secret?a=%2F..%2f&b[]=1")
    assert stand.web.asked[0].target == "/api/../secret?a=%2F..%2f&b[]=1"


async def test_unreadable_requests_are_answered_400(stand: Set) -> None:
    from relay.wire.frames import FrameType

    for raw, request_id in [
        (b"not json", ""),
        (b"[]", ""),
        (b'{"id":"a"}', "a"),
        (b'{"id":"b","method":"GET","path":"/x","body":"%%%"}', "b"),
        (b'{"id":"c","method":5,"path":"/x"}', "c"),
        (b"[" * 60000, ""),
    ]:
        await stand.peer.send_frame(FrameType.DATA, 1, raw)
        response = await stand.peer.response(1)
        assert (response.status, response.id) == (400, request_id)


async def test_answer_carries_three_headers_only(stand: Set) -> None:
    stand.answers["/api/x"] = answer(
        b"hello",
        status=404,
        kind="text/plain",
        headers={
            "X-Request-Id": "r",
            "Cache-Control": "no-store",
            "Set-Cookie": "a=b",
            "Etag": "x",
        },
    )
    response = await stand.ask()
    assert response.status == 404 and response.body == b"hello"
    assert response.headers == {
        "Content-Type": "text/plain",
        "X-Request-Id": "r",
        "Cache-Control": "no-store",
    }


async def test_cookies_of_an_answer_never_come_back(stand: Set) -> None:
    stand.answers["/api/x"] = answer(headers={"Set-Cookie": "pulsecloud_session=other; Path=/"})
    await stand.ask()
    await stand.ask(id="r2")
    assert "cookie" not in stand.web.asked[1].headers


async def test_redirects_are_not_followed(stand: Set) -> None:
    stand.answers["/api/x"] = answer(status=302, headers={"Location": "/elsewhere"})
    assert (await stand.ask()).status == 302
    assert len(stand.web.asked) == 1


@pytest.mark.covers("F50")
async def test_bodies_up_to_the_limit_pass_and_larger_ones_are_413(stand: Set) -> None:
    stand.answers["/full"] = answer(b"x" * LIMIT, kind="text/plain")
    stand.answers["/more"] = answer(b"x" * (LIMIT + 1), kind="text/plain")
    stand.answers["/endless"] = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 3_000_000
    )
    assert len((await stand.ask(path="/full", body=b"y" * LIMIT)).body) == LIMIT
    assert len(stand.web.asked[0].body) == LIMIT
    for path in ("/more", "/endless"):
        response = await stand.ask(path=path)
        assert response.status == 413
        assert json.loads(response.body) == {"error": "response body exceeds 47KB limit"}


@pytest.mark.covers("F50")
async def test_request_body_over_the_limit_is_413(stand: Set) -> None:
    response = await stand.ask(method="POST", body=b"y" * (LIMIT + 1))
    assert response.status == 413
    assert stand.web.asked == []


async def test_compressed_answer_is_undone_and_a_bomb_is_413(stand: Set) -> None:
    """The phone never sees Content-Encoding, so it must not get what it cannot read."""
    packed = {"Content-Encoding": "gzip"}
    stand.answers["/small"] = answer(gzip.compress(b'{"a":1}'), headers=packed)
    stand.answers["/bomb"] = answer(gzip.compress(bytes(50_000_000)), headers=packed)
    stand.answers["/cut"] = answer(gzip.compress(b"x" * 100)[:-9], headers=packed)
    stand.answers["/odd"] = answer(b"x", headers={"Content-Encoding": "br"})
    ask = {"accept-encoding": "gzip"}
    assert (await stand.ask(path="/small", headers=ask)).body == b'{"a":1}'
    assert (await stand.ask(path="/bomb", headers=ask)).status == 413
    assert (await stand.ask(path="/cut", headers=ask)).status == 502
    assert (await stand.ask(path="/odd", headers=ask)).status == 502


@pytest.mark.parametrize(
    "raw", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"]
)
async def test_broken_answer_of_web_is_502(stand: Set, raw: bytes) -> None:
    stand.answers["/api/x"] = raw
    response = await stand.ask()
    assert response.status == 502
    assert json.loads(response.body) == {"error": "local API request failed"}


async def test_web_that_is_away_is_502(quick: Any, tenant: Tenant) -> None:
    async with (
        scripted_relay_stage() as stage,
        running(
            quick,
            only=ids(tenant.organisation),
            RELAY_SERVER=stage.url,
            WEB_ADDR=("127.0.0.1", 1),
        ),
    ):
        peer = await stage.registered(tenant.instance_id)
        await peer.open_channel(1, tenant.token)
        assert (await peer.ask_plainly(1)).status == 502


async def test_slow_request_does_not_hold_up_the_next(stand: Set) -> None:
    await stand.peer.send_request(1, path="/hold", id="slow")
    assert (await stand.ask(id="quick")).id == "quick"
    stand.hold.set()
    assert (await stand.peer.response(1)).id == "slow"


async def test_work_is_cancelled_when_the_connection_ends(stand: Set) -> None:
    await stand.peer.send_request(1, path="/hold")
    await until_async(lambda: stand.web.open == 1)
    stand.peer.vanish()
    await until_async(lambda: stand.web.open == 0)


async def test_request_runs_on_after_its_channel_closed_and_its_answer_is_dropped(
    stand: Set, tenant: Tenant
) -> None:
    await stand.peer.send_request(1, path="/hold")
    await until_async(lambda: stand.web.open == 1)
    await stand.peer.send(ChannelClose(1, "bye"))
    await stand.peer.open_channel(1, tenant.token)  # the same number, another channel
    assert stand.web.open == 1
    stand.hold.set()
    await until_async(lambda: stand.web.open == 0)
    assert await stand.peer.silent(0.2)


async def test_large_request_id_gets_an_answer_or_none_but_never_a_broken_frame(
    stand: Set,
) -> None:
    stand.answers["/full"] = answer(b"x" * LIMIT, kind="text/plain")
    long_id = "i" * 5000
    response = await stand.ask(path="/full", id=long_id)
    assert (response.status, response.id) == (413, long_id)
    assert (await stand.ask(id="r9")).status == 200


@pytest.mark.covers("F48")
async def test_no_secret_is_logged(
    stand: Set, tenant: Tenant, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    await stand.ask(path="//evil")
    stand.answers["/api/x"] = b"garbage"
    await stand.ask(body=b"private body", method="POST")
    await stand.peer.send(ChannelClose(1, "bye"))
    text = caplog.text + "".join(capfd.readouterr())
    assert "connected" in text
    for secret in (tenant.token, "private body", stand.peer.register.license_token, "session-1"):
        assert secret not in text
