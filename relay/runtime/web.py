"""Hands a phone's request to `web` (relay-protocol section 10).

Loopback gets no trust: the host comes from the organisation, the phone's token is the only
credential, and what a phone may reach is decided by `web`. Nothing is kept between two requests,
neither connections (a reused one may just be closing) nor cookies (the next request may be another
organisation's).
"""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from relay.wire import proxy

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
CONNECT_SECONDS = 5.0
_PRINTABLE = re.compile(r"[\x20-\x7e\t]*")


class TooLarge(Exception):
    """The answer's body is larger than the frame limit."""


class Unreadable(Exception):
    """The answer's body cannot be decoded."""


class Web:
    """A way to `web` for all organisations of this process."""

    def __init__(self) -> None:
        host, port = settings.WEB_ADDR
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        self._port = port
        public = urlsplit(settings.PUBLIC_URL)
        self._public_port = f":{public.port}" if public.port else ""
        self._secure = public.scheme == "https"
        self._transport = httpx.AsyncHTTPTransport(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # unused: web speaks plain HTTP
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    @asynccontextmanager
    async def call(
        self, request: proxy.Request, *, instance_host: str, token: str
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its body still to be read. Redirects are not followed.

        Raises proxy.ProxyError(400) for a method that is not passed on, and httpx.TransportError.
        """
        response = await self._transport.handle_async_request(
            self._request(request, instance_host=instance_host, token=token)
        )
        try:
            yield response
        finally:
            await response.aclose()

    def _request(self, request: proxy.Request, *, instance_host: str, token: str) -> httpx.Request:
        method = request.method.upper()
        if method not in METHODS:
            raise proxy.ProxyError(400, "invalid proxy method", request.id)
        headers = {
            name: value
            for name, value in proxy.forwardable(request.headers).items()
            # The length is that of the body that came, whatever the phone says of it.
            if name != "content-length" and _PRINTABLE.fullmatch(value)
        }
        headers["host"] = instance_host + self._public_port
        headers["x-api-token"] = token
        headers["user-agent"] = "PulseCloud-Runtime"
        # It comes from loopback and from a phone elsewhere (RFC 7239 section 6.3), and must not get
        # what `web` shows to programs on this machine, its metrics for one.
        headers["forwarded"] = "for=_phone"
        if self._secure:
            headers["x-forwarded-proto"] = "https"  # it came through a sealed channel
        if not _PRINTABLE.fullmatch(token):
            raise proxy.ProxyError(400, "invalid proxy request", request.id)
        url = httpx.URL(scheme="http", host=self._host, port=self._port, path="/")
        return httpx.Request(
            method,
            url,
            headers=headers,
            content=request.body or None,
            extensions={
                # Byte for byte the path that was checked; a URL object would tidy it up.
                "target": request.path.encode(),
                "timeout": {"connect": CONNECT_SECONDS, "read": None, "write": None, "pool": None},
            },
        )

    async def close(self) -> None:
        await self._transport.aclose()


def is_event_stream(response: httpx.Response) -> bool:
    return bool(response.headers.get("content-type", "").lower().startswith("text/event-stream"))


def visible(headers: Mapping[str, str]) -> dict[str, str]:
    return proxy.returnable(headers)


async def body_of(response: httpx.Response, *, limit: int) -> bytes:
    """The whole body, decoded. Raises TooLarge as soon as it is over `limit`, and Unreadable.

    A phone may ask for gzip but never sees Content-Encoding, so it is undone here.
    """
    decoder = _Decoder(response.headers.get("content-encoding", ""), limit=limit)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += decoder.decode(chunk)
        if len(body) > limit:
            raise TooLarge
    decoder.finish()
    return bytes(body)


def decoded(response: httpx.Response, *, limit: int) -> AsyncIterator[bytes]:
    """The body of an event stream, piece by piece, decoded. Raises as `body_of`."""

    async def pieces() -> AsyncIterator[bytes]:
        decoder = _Decoder(response.headers.get("content-encoding", ""), limit=limit)
        async for chunk in response.aiter_raw():
            yield decoder.decode(chunk)

    return pieces()


class _Decoder:
    """Undoes gzip and deflate; what comes out of one chunk is bounded, so a bomb stays small."""

    def __init__(self, encoding: str, *, limit: int) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "deflate"):
            raise Unreadable(encoding)
        self._limit = limit
        self._inflate = zlib.decompressobj(47) if encoding in ("gzip", "deflate") else None

    def decode(self, chunk: bytes) -> bytes:
        if self._inflate is None:
            return chunk
        try:
            plain = self._inflate.decompress(chunk, self._limit + 1)
        except zlib.error as error:
            raise Unreadable(str(error)) from None
        if self._inflate.unconsumed_tail:
            raise TooLarge
        return plain

    def finish(self) -> None:
        """Raises Unreadable when the compressed body was cut short."""
        if self._inflate is not None and not self._inflate.eof:
            raise Unreadable("cut short")
