"""The JSON inside DATA frames against the published vectors."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from relay.wire import frames, proxy
from relay.wire.proxy import ProxyError, Request, Response
from tests.vectors import group, load


@pytest.mark.parametrize("vector", group("proxy_json"), ids=lambda v: v["json_text"][:40])
def test_responses_are_the_same_bytes_again(vector: dict[str, Any]) -> None:
    wire = vector["json_text"].encode()
    response = proxy.decode_response(wire)
    assert proxy.encode_response(response) == wire
    if vector["source"].endswith("error builder"):
        error = json.loads(response.body)["error"]
        assert proxy.error_response(response.id, response.status, error) == wire


def test_own_errors_are_worded_as_upstream() -> None:
    published = [json.loads(v["json_text"]) for v in group("proxy_json")]
    said = {
        v["status"]: json.loads(base64.b64decode(v["body"]))
        for v in published
        if v["status"] >= 400
    }
    for status, text in (
        proxy.OVERLOADED,
        proxy.RATE_LIMITED,
        proxy.RESPONSE_TOO_LARGE,
        proxy.LOCAL_FAILURE,
    ):
        assert said[status] == {"error": text}


def test_request_is_written_as_upstream() -> None:
    (vector,) = [v for v in group("frames") if v["name"] == "data, plaintext proxy request"]
    wire = vector["payload_text"].encode()
    request = Request("req_1", "GET", "/api/status")
    assert proxy.encode_request(request) == wire
    assert proxy.decode_request(wire) == request


@pytest.mark.covers("F50")
@pytest.mark.parametrize("vector", group("proxy_paths"), ids=lambda v: repr(v["in"]))
def test_paths(vector: dict[str, Any]) -> None:
    """F50: no path leads to another host."""
    assert proxy.normalise_path(vector["in"]) == (vector["out"] if vector["accepted"] else None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("///evil.test/x", None),
        ("https:/evil.test", None),
        ("javascript:alert(1)", None),
        ("/a\r\nHost: evil.test", None),
        ("/a\x00b", None),
        ("/a%zz", None),
        ("http://[::1/x", None),
        ("/\\evil.test", "/%5Cevil.test"),
        ("/a?b=c d&e=%20#frag", "/a?b=c%20d&e=%20"),
        ("/organisation/é", "/organisation/%C3%A9"),
        ("/a:b", "/a:b"),
    ],
)
def test_more_paths(path: str, expected: str | None) -> None:
    assert proxy.normalise_path(path) == expected


@pytest.mark.covers("F50")
def test_request_headers() -> None:
    """F50: only the published headers pass, and none carries a line break."""
    for row in load()["proxy_request_headers"]["table"]:
        passed = proxy.forwardable({row["header"]: "v"})
        assert passed == ({row["header"].strip().lower(): "v"} if row["forwarded"] else {})
    assert proxy.forwardable({"accept": "a\r\nX-API-Token: b", "If-Match": "c"}) == {
        "if-match": "c"
    }


def test_response_headers() -> None:
    seen = {"content-type": "text/plain", "set-cookie": "a=b", "CACHE-CONTROL": "no-store"}
    assert proxy.returnable(seen) == {"Content-Type": "text/plain", "Cache-Control": "no-store"}


@pytest.mark.parametrize(
    ("plaintext", "status", "request_id"),
    [
        (b"", 400, ""),
        (b"[]", 400, ""),
        (b"\xff", 400, ""),
        (b'{"method":"GET","path":"/"}', 400, ""),
        (b'{"id":"r","path":"/"}', 400, "r"),
        (b'{"id":"r","method":" ","path":"/"}', 400, "r"),
        (b'{"id":"r","method":"GET"}', 400, "r"),
        (b'{"id":"r","method":"GET","path":"//evil.test/"}', 400, "r"),
        (b'{"id":"r","method":"GET","path":"/","body":"%%%"}', 400, "r"),
        (b'{"id":"r","method":"GET","path":"/","body":7}', 400, "r"),
        (b'{"id":"r","method":"GET","path":"/","headers":[]}', 400, "r"),
        (b'{"id":"r","method":"GET","path":"/","headers":{"accept":1}}', 400, "r"),
        (b'{"id":7,"method":"GET","path":"/"}', 400, ""),
        (
            b'{"id":"r","method":"POST","path":"/","body":"%s"}'
            % base64.b64encode(bytes(47 * 1024 + 1)),
            413,
            "r",
        ),
    ],
)
def test_requests_that_are_refused(plaintext: bytes, status: int, request_id: str) -> None:
    with pytest.raises(ProxyError) as refused:
        proxy.decode_request(plaintext)
    assert (refused.value.status, refused.value.request_id) == (status, request_id)


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"[]", b'{"id":"r"}', b'{"id":"r","status":"200"}', b'{"id":"r","status":1000}',
     b'{"id":"r","status":200,"headers":7}', b'{"id":"r","status":200,"body":"!"}'],
)  # fmt: skip
def test_answers_that_are_none(plaintext: bytes) -> None:
    with pytest.raises(ProxyError) as refused:
        proxy.decode_response(plaintext)
    assert refused.value.status == 502


def test_the_largest_body_fits_one_frame_both_ways() -> None:
    body = bytes(proxy.BODY_LIMIT)
    headers = dict.fromkeys(proxy.RESPONSE_HEADERS, "x" * 100)
    for wire in (
        proxy.encode_request(Request("r" * 40, "POST", "/" + "p" * 200, headers, body)),
        proxy.encode_response(Response("r" * 40, 200, headers, body)),
    ):
        assert len(wire) + 28 <= frames.MAX_PAYLOAD


def test_request_id_is_read_from_what_can_be_read() -> None:
    assert proxy.request_id_of(b'{"id":"r","path":7}') == "r"
    assert proxy.request_id_of(b"{") == proxy.request_id_of(b'{"id":7}') == ""


def test_a_request_survives_the_trip() -> None:
    sent = Request("r", "POST", "/a", {"accept": "<x>&\u2028"}, b"\x00\xff")
    assert proxy.decode_request(proxy.encode_request(sent)) == sent
