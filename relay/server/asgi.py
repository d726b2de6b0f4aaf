"""Routing of the relay: the two WebSocket endpoints and three pages for operators."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from relay.server.addresses import Headers, is_loopback
from relay.server.consumers import Doors
from relay.server.counters import exposition
from relay.server.station import Station

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Page = tuple[int, str, bytes]  # status, content type, body

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
# Byte for byte what upstream's runtime test looks for: no space after the colon.
HEALTHY = b'{"status":"ok"}'
NOT_FOUND: Page = (404, TEXT, b"Not Found\n")


def application(station: Station) -> Asgi:
    """The ASGI application of one relay process."""
    doors = Doors(station)
    sockets = URLRouter(
        [
            re_path(r"^ws/instance$", _of_origin(doors.instance, station)),
            re_path(r"^ws/app$", _of_origin(doors.app, station)),
            re_path(r"", cast(Any, _not_a_socket)),
        ]
    )
    pages = Pages(station)
    router: Asgi = ProtocolTypeRouter({"http": pages, "websocket": sockets})
    return router


def _of_origin(endpoint: Any, station: Station) -> Any:
    """Refuses what a foreign web page opens (F34). Instances and most apps send no Origin at all,
    which Channels' own validators would refuse; an app that is built on a web view may send the
    relay's own."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        origin = _header(scope["headers"], b"origin")
        if origin and not _is_ours(origin, scope["headers"], station):
            await _respond(send, (403, TEXT, b"This origin may not connect\n"))
        else:
            await endpoint(scope, receive, send)

    return guarded


def _is_ours(origin: str, headers: Headers, station: Station) -> bool:
    origin = origin.rstrip("/").lower()
    if origin in station.origins:
        return True
    try:
        host = urlsplit(origin).netloc
        public = urlsplit(station.public_url).netloc.lower()
    except ValueError:
        return False
    return bool(host) and host in (_header(headers, b"host").lower(), public)


async def _not_a_socket(scope: Any, receive: Any, send: Any) -> None:
    await _respond(send, NOT_FOUND)


class Pages:
    """Plain HTTP: /healthz, /readyz, /metrics. Each answers once and closes."""

    def __init__(self, station: Station) -> None:
        self.station = station

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, headers = scope["path"], scope["headers"]
        extra: list[tuple[bytes, bytes]] = []
        if path in ("/ws/instance", "/ws/app"):
            page: Page = (426, TEXT, b"This is a WebSocket\n")
            extra = [(b"upgrade", b"websocket")]
        elif path not in ("/healthz", "/readyz", "/metrics"):
            page = NOT_FOUND
        elif scope["method"] not in ("GET", "HEAD"):
            page = (405, TEXT, b"Method Not Allowed\n")
            extra = [(b"allow", b"GET, HEAD")]
        elif path == "/healthz":
            page = (200, JSON, HEALTHY)
        elif path == "/readyz":
            page = await self._ready()
        else:
            peer = scope["client"][0] if scope.get("client") else ""
            page = self._metrics() if self._may_read(peer, headers) else NOT_FOUND
        status, kind, body = page
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", kind.encode()),
                    (b"content-length", str(len(body)).encode()),
                    (b"cache-control", b"no-store"),
                    (b"connection", b"close"),
                    *extra,
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _ready(self) -> Page:
        blocking = await self.station.blocking()
        answer = {
            "status": "not ready" if blocking else "ready",
            "blocking": [{"fact": fact, "detail": detail} for fact, detail in blocking],
        }
        return (503 if blocking else 200, JSON, json.dumps(answer).encode())

    def _metrics(self) -> Page:
        board = self.station.switchboard
        text = exposition(
            self.station.counters, instances=len(board.instances), apps=board.sessions()
        )
        return (200, EXPOSITION, text.encode())

    def _may_read(self, peer: str, headers: Headers) -> bool:
        """The bearer token, or a direct loopback peer; a proxy on loopback forwards strangers."""
        scheme, _, given = _header(headers, b"authorization").partition(" ")
        if self.station.metrics_token and scheme.lower() == "bearer":
            wanted = self.station.metrics_token.encode()
            return hmac.compare_digest(given.strip().encode(), wanted)
        if _header(headers, b"x-forwarded-for") or _header(headers, b"forwarded"):
            return False
        return is_loopback(peer)


def _header(headers: Headers, name: bytes) -> str:
    """The first header of that name; empty without one."""
    return next((v.decode("latin-1") for n, v in headers if n.lower() == name), "")


async def _respond(send: Any, page: Page) -> None:
    """Answers a WebSocket handshake with a page."""
    status, kind, body = page
    await send(
        {
            "type": "websocket.http.response.start",
            "status": status,
            "headers": [(b"content-type", kind.encode())],
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})
