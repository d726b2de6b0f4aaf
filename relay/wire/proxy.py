"""Requests and responses inside DATA frames, between app and instance (relay-protocol section 10).

The relay never reads them; the phone, the built-in runtime and the reference instance do.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from relay.wire.frames import FrameError, dump_json, parse_json

BODY_LIMIT = 47 * 1024  # decoded; as base64 64,172 bytes, so that JSON and seal fit one frame
REQUEST_HEADERS = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "content-length",
        "if-match",
        "if-none-match",
        "if-modified-since",
    ]
)
RESPONSE_HEADERS = ("Content-Type", "X-Request-Id", "Cache-Control")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ProxyError(Exception):
    """A request that is answered by the instance itself: `status`, text, and the request id as far
    as it could be read."""

    def __init__(self, status: int, message: str, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class Request(NamedTuple):
    id: str
    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""


class Response(NamedTuple):
    """`stream`: a frame of an event stream; `stream_done`: its clean end."""

    id: str
    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    stream: bool = False
    stream_done: bool = False


def normalise_path(path: str) -> str | None:
    """An origin-relative path with its query, percent-encoded; None for anything that could lead
    to another host (F50): an absolute URL, `//host`, control characters, broken escapes."""
    path = path.strip()
    if not path or path.startswith("//") or _CONTROL.search(path) or _BROKEN_ESCAPE.search(path):
        return None
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or ":" in parts.path.split("/", 1)[0]:
        return None
    target = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    if not target.startswith("/"):
        target = "/" + target
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~[]")
    return target


def forwardable(headers: Mapping[str, str]) -> dict[str, str]:
    """The request headers an app may set, names in lower case. Values with control characters are
    dropped: no header can be smuggled in behind another."""
    named = {name.strip().lower(): value for name, value in headers.items()}
    return {n: v for n, v in named.items() if n in REQUEST_HEADERS and not _CONTROL.search(v)}


def returnable(headers: Mapping[str, str]) -> dict[str, str]:
    """The response headers an app gets to see."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: lower[name.lower()] for name in RESPONSE_HEADERS if name.lower() in lower}


def encode_request(request: Request) -> bytes:
    return dump_json(_without_empty(request, keep=("id", "method", "path")))


def decode_request(plaintext: bytes) -> Request:
    """Reads and checks a request; its path is normalised. Raises ProxyError(400 or 413)."""
    try:
        values = parse_json(plaintext)
    except FrameError:
        raise ProxyError(400, "invalid proxy request") from None
    request_id = _text(values, "id")
    if not _well_typed(values):
        raise ProxyError(400, "invalid proxy request", request_id)
    method, path = _text(values, "method").strip(), _text(values, "path").strip()
    if not request_id or not method or not path:
        raise ProxyError(400, "missing proxy request fields", request_id)
    target = normalise_path(path)
    if target is None:
        raise ProxyError(400, "invalid proxy path", request_id)
    try:
        body = _body(values)
    except ValueError:
        raise ProxyError(400, "invalid proxy request body", request_id) from None
    if len(body) > BODY_LIMIT:
        raise ProxyError(413, "request body exceeds 47KB limit", request_id)
    return Request(request_id, method, target, values.get("headers") or {}, body)


def request_id_of(plaintext: bytes) -> str:
    """The id of a request that is refused unread (429, 503); empty when there is none to find."""
    try:
        return _text(parse_json(plaintext), "id")
    except FrameError:
        return ""


def encode_response(response: Response) -> bytes:
    return dump_json(_without_empty(response, keep=("id", "status")))


def decode_response(plaintext: bytes) -> Response:
    """Raises ProxyError(502) for anything that is no response."""
    try:
        values = parse_json(plaintext)
        body = _body(values)
    except ValueError:
        raise ProxyError(502, "the instance's answer cannot be read") from None
    status = values.get("status")
    if type(status) is not int or not 100 <= status <= 599 or not _well_typed(values):
        raise ProxyError(502, "the instance's answer is no response", _text(values, "id"))
    return Response(
        _text(values, "id"),
        status,
        values.get("headers") or {},
        body,
        values.get("stream") is True,
        values.get("stream_done") is True,
    )


def error_response(request_id: str, status: int, message: str) -> bytes:
    """An answer the instance makes itself."""
    body = dump_json({"error": message})
    return encode_response(Response(request_id, status, {"Content-Type": "application/json"}, body))


OVERLOADED = (503, "relay proxy overloaded")
RATE_LIMITED = (429, "relay proxy rate limited")
RESPONSE_TOO_LARGE = (413, "response body exceeds 47KB limit")
LOCAL_FAILURE = (502, "local API request failed")


def _without_empty(value: Request | Response, *, keep: tuple[str, ...]) -> dict[str, object]:
    values = value._asdict()
    values["body"] = base64.b64encode(value.body).decode()
    return {k: v for k, v in values.items() if v or k in keep}


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _body(values: dict[str, Any]) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(_text(values, "body"), validate=True)


def _well_typed(values: dict[str, Any]) -> bool:
    headers = values.get("headers")
    return all(
        isinstance(values.get(key), str | None) for key in ("id", "method", "path", "body")
    ) and (
        headers is None
        or (isinstance(headers, dict) and all(isinstance(v, str) for v in headers.values()))
    )
