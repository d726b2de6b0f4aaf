"""A server in front of the product's web (or relay) that passes everything on and lies about one thing.

The product believes what it answered, and so would a customer's program: just what drills have to
see through. `Lie(method, path, …)` changes the answers of requests whose path matches; with `after`
only those after a first request that matches that (method and path).
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.product import Product


@dataclass
class Lie:
    """`status` and the fields of `fields` replace what was answered; None takes a field away.

    With `body` the whole answer is that text; `swap` replaces what matches a pattern in it. `only`
    limits the lie to answers of that status.
    """

    method: str
    path: str
    status: int | None = None
    fields: dict[str, Any] | None = None
    body: str | None = None
    swap: tuple[str, str] | None = None
    only: int | None = None
    after: str = ""
    told: int = 0

    def fits(self, method: str, path: str, status: int) -> bool:
        return (
            method == self.method
            and re.search(self.path, path) is not None
            and self.only in (None, status)
        )


@contextmanager
def lying_web(
    product: Product, lie: Lie, *, before: tuple[str, int] | None = None
) -> Iterator[tuple[str, int]]:
    """Its address; it stands before the product's web, or `before`. The lie counts how often it was
    told."""
    address = before or product.web
    begun = threading.Event()
    if not lie.after:
        begun.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            behind = http.client.HTTPConnection(*address, timeout=30)
            try:
                behind.request(self.command, self.path, sent, dict(self.headers.items()))
                answer = behind.getresponse()
                body, status = answer.read(), answer.status
                headers = answer.getheaders()
            finally:
                behind.close()
            if begun.is_set() and lie.fits(self.command, self.path, status):
                lie.told += 1
                body, status = _changed(lie, body), lie.status or status
            if lie.after and re.search(lie.after, f"{self.command} {self.path}"):
                begun.set()
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

        def log_message(self, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield "127.0.0.1", server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _changed(lie: Lie, body: bytes) -> bytes:
    if lie.body is not None:
        return lie.body.encode()
    if lie.swap is not None:
        return re.sub(*lie.swap, body.decode()).encode()
    if lie.fields is None:
        return body
    told: dict[str, Any] = json.loads(body)
    for name, value in lie.fields.items():
        told[name] = value
        if value is None:
            del told[name]
    return json.dumps(told).encode()
