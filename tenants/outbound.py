"""Requests to addresses that a customer chose: only to places where the internet at large is (F67).

A name is resolved here, each address is held against DENIED, and the socket is opened to the very
address that was judged: a name that answers differently the second time gains nothing. Odd spellings
(octal, decimal, mapped) become plain addresses in the resolver, before they are judged. Redirects
are not followed, proxies of the environment not asked, and an answer is cut off by size and by time
as a whole. The ipaddress module's own flags are not relied upon: they call 168.63.129.16,
multicast and NAT64 forms of 169.254.169.254 global.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpcore
import httpx
from django.conf import settings

LONGEST_URL: Final = 2048
LARGEST: Final = 512 * 1024  # bytes of an answer; a big provider's key set is some 20 KiB

DENIED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT; metadata service of a cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # metadata service of a cloud, amid public addresses
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, metadata service of a cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/8",  # unspecified, loopback, IPv4 compatible and mapped, NAT64 64:ff9b::/96
        "::/3",  # the rest below 2000::/3 is not handed out
        "2001::/23",  # Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
        "4000::/2",  # not handed out; segment routing
        "8000::/1",  # private fc00::/7, link-local, site-local, multicast, not handed out
    )
)


_room = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 4))


class OutboundRefused(Exception):
    """The request was not made, or its answer not taken; the text may be shown to who chose the
    address."""


class Busy(OutboundRefused):
    """Nobody was asked, because too many wait already: it says nothing about this address."""


def fetch(
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    largest: int = LARGEST,
) -> httpx.Response:
    """The whole answer, whatever its status below 300 or from 400; `form` is sent URL-encoded.

    Takes at most settings.SSO_TIMEOUT seconds from the first connection on; looking the name up
    has the resolver's own limit. Raises OutboundRefused, at once while a quarter of this process's
    threads wait for others: slow providers of one customer must not take the rest from everybody.
    """
    check_url(url)
    if not _room.acquire(blocking=False):
        raise Busy("Too many requests to providers wait at the moment.")
    try:
        return _fetch(method, url, form=form, headers=headers, largest=largest)
    finally:
        _room.release()


def _fetch(
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    largest: int,
) -> httpx.Response:
    deadline = time.monotonic() + settings.SSO_TIMEOUT
    body = None if form is None else urlencode(form).encode()
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    if body is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    backend = _Checked(secure=urlsplit(url).scheme == "https", deadline=deadline)
    context = ssl.create_default_context()
    try:
        with (
            httpcore.ConnectionPool(ssl_context=context, network_backend=backend) as pool,
            pool.stream(method, url, headers=list(sent.items()), content=body) as answer,
        ):
            return _read(answer, url, largest=largest)
    except OutboundRefused:
        raise
    except httpcore.TimeoutException:
        raise OutboundRefused(f"{_host(url)} did not answer in time.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        raise OutboundRefused(f"{_host(url)} cannot be reached: {error}"[:300]) from None


def check_url(url: str) -> None:
    """Raises OutboundRefused for what is no plain https address; http only where `_http_allowed`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise OutboundRefused("This is not an address.") from None
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or len(url) > LONGEST_URL or not parts.hostname or parts.fragment or port == 0:
        raise OutboundRefused("This is not an address such as https://login.example.com.")
    if parts.username is not None or parts.password is not None:
        raise OutboundRefused("An address with a name or password in it is not taken.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _http_allowed()):
        raise OutboundRefused("The address must begin with https://.")


def is_allowed(address: str, *, secure: bool = True) -> bool:
    """Whether a socket may be opened to this address; without `secure` only to loopback."""
    parsed = _parse(address)
    if parsed is None:
        return False
    allowed = any(_within(parsed, network) for network in settings.SSO_ALLOWED_NETWORKS)
    if not secure:
        return allowed and _http_allowed() and parsed.is_loopback
    return allowed or not any(_within(parsed, network) for network in DENIED)


def _http_allowed() -> bool:
    """Plain http is for a developer's own machine: loopback must be an allowed network too."""
    return not settings.PRODUCTION


def _within(address: IPv4Address | IPv6Address, network: Any) -> bool:
    return address.version == network.version and address in network


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _read(answer: httpcore.Response, url: str, *, largest: int) -> httpx.Response:
    headers = httpx.Headers(answer.headers)
    if 300 <= answer.status < 400:
        raise OutboundRefused(f"{_host(url)} redirects elsewhere, which is not followed.")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise OutboundRefused(f"{_host(url)} packs its answer without being asked to.")
    taken = bytearray()
    for chunk in answer.iter_stream():
        taken += chunk
        if len(taken) > largest:
            raise OutboundRefused(f"{_host(url)} answers more than {largest} bytes.")
    return httpx.Response(
        answer.status,
        headers={"Content-Type": headers.get("Content-Type", "")},
        content=bytes(taken),
        request=httpx.Request("GET", url),
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or "The address"


class _Checked(httpcore.NetworkBackend):
    """Opens sockets to judged addresses only, and none of them waits beyond the deadline."""

    def __init__(self, *, secure: bool, deadline: float) -> None:
        self._plain = httpcore.SyncBackend()
        self._secure = secure
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        last: Exception | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._plain.connect_tcp(
                    address, port, timeout=_left(self._deadline), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            peer = stream.get_extra_info("server_addr")
            if not is_allowed(str(peer[0]), secure=self._secure):
                stream.close()
                break
            return _Hurried(stream, self._deadline)
        if last is not None:
            raise last
        raise OutboundRefused(f"{host} does not lead to a public address.")

    def _addresses(self, host: str, port: int) -> list[str]:
        """What the name leads to and may be dialled. Raises OutboundRefused for an unknown name."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise OutboundRefused(f"{host} is not known.") from None
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        return [a for a in addresses if is_allowed(a, secure=self._secure)]


class _Hurried(httpcore.NetworkStream):
    """A stream with one deadline for all that is read and written: slow drops do not extend it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=_left(self._deadline))
        return _Hurried(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
