"""Where a customer's address may lead: judged by the address that the socket opens to (F67)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from pulsecloud.env import Environment, SettingError
from tenants import outbound
from tenants.outbound import OutboundRefused
from tests.sso.idp import Idp, say

NEVER = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::",
    "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1", "no address",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_allowed(settings: Any, _reachable: None) -> None:
    settings.SSO_ALLOWED_NETWORKS = []


@pytest.mark.covers("F67")
@pytest.mark.parametrize("address", NEVER)
def test_never_by_default(address: str) -> None:
    assert not outbound.is_allowed(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111"])
def test_the_internet_at_large(address: str) -> None:
    assert outbound.is_allowed(address)


@pytest.mark.covers("F67")
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"],
)  # fmt: skip
def test_every_spelling_of_this_machine(host: str, idp: Idp) -> None:
    with pytest.raises(OutboundRefused):
        outbound.fetch("GET", f"https://{host}:{idp.port}/jwks")
    assert idp.asked == []


@pytest.mark.covers("F67")
def test_the_judged_address_is_the_dialled_one(
    monkeypatch: pytest.MonkeyPatch, settings: Any, idp: Idp
) -> None:
    """The name answers a public address first and this machine ever after (DNS rebinding)."""
    answers = iter(["93.184.216.34"])
    dialled: list[Any] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = next(answers, "127.0.0.1") if host == "rebinding.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    for _ in range(2):
        with pytest.raises(OutboundRefused):
            outbound.fetch("GET", "https://rebinding.example/")
    assert dialled == ["93.184.216.34"]


@pytest.mark.covers("F67")
def test_a_socket_that_ends_up_elsewhere_is_closed(
    monkeypatch: pytest.MonkeyPatch, idp: Idp
) -> None:
    """Whatever the system did with the address: where the socket is counts."""
    real = socket.create_connection

    def hijacked(address: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        return real(("127.0.0.1", idp.port), *rest, **more)

    monkeypatch.setattr(socket, "create_connection", hijacked)
    with pytest.raises(OutboundRefused, match="public address"):
        outbound.fetch("GET", "https://93.184.216.34/")
    assert idp.asked == []


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "http://example.com/", "https://",
     "https://ann:pw@example.com/", "https://example.com/#x", "https://exa mple.com/",
     "https://example.com\\@evil.example/", "https://example.com:0/", "https://example.com:99999/",
     "https://exämple.com/", "javascript:alert(1)", "https://example.com/" + "a" * 2048, ""],
)  # fmt: skip
def test_only_plain_https_addresses(url: str, settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(OutboundRefused):
        outbound.check_url(url)


def test_http_is_for_a_developers_own_machine(settings: Any, idp: Idp) -> None:
    with pytest.raises(OutboundRefused):
        outbound.fetch("GET", f"{idp.issuer}/jwks")
    settings.SSO_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")]
    assert outbound.fetch("GET", f"{idp.issuer}/jwks").status_code == 200
    assert not outbound.is_allowed("10.0.0.1", secure=False)
    assert outbound.is_allowed("10.0.0.1")
    settings.PRODUCTION = True
    with pytest.raises(OutboundRefused):
        outbound.fetch("GET", f"{idp.issuer}/jwks")


@pytest.fixture
def local(settings: Any, _nothing_allowed: None) -> None:
    settings.SSO_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.mark.covers("F67")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(local: None, idp: Idp, status: int) -> None:
    idp.answers["/away"] = lambda: (status, {"Location": f"{idp.issuer}/jwks"}, b"")
    with pytest.raises(OutboundRefused, match="redirects"):
        outbound.fetch("GET", f"{idp.issuer}/away")
    assert idp.asked == ["/away"]


def test_a_huge_answer_is_cut_off(local: None, idp: Idp) -> None:
    idp.answers["/huge"] = lambda: (200, {}, b"x" * (outbound.LARGEST + 1))
    with pytest.raises(OutboundRefused, match="more than"):
        outbound.fetch("GET", f"{idp.issuer}/huge")


def test_a_packed_answer_is_not_unpacked(local: None, idp: Idp) -> None:
    idp.answers["/packed"] = lambda: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")
    with pytest.raises(OutboundRefused, match="packs"):
        outbound.fetch("GET", f"{idp.issuer}/packed")


def test_proxies_of_the_environment_are_not_asked(
    local: None, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert outbound.fetch("GET", f"{idp.issuer}/jwks").status_code == 200


@pytest.fixture
def dripping() -> Iterator[int]:
    """A port that answers one byte of a header every tenth of a second, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stop.wait(0.1):
                    connection.sendall(b"a")
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    stop.set()
    thread.join(5)
    listener.close()


def test_slow_drops_do_not_extend_the_time(local: None, settings: Any, dripping: int) -> None:
    settings.SSO_TIMEOUT = 0.6
    began = time.monotonic()
    with pytest.raises(OutboundRefused, match="in time"):
        outbound.fetch("GET", f"http://127.0.0.1:{dripping}/")
    assert time.monotonic() - began < 3


def test_a_form_is_sent_and_an_error_answer_returned(local: None, idp: Idp) -> None:
    idp.answers["/token"] = lambda: say({"error": "invalid_grant"}, 400)
    answer = outbound.fetch("POST", f"{idp.issuer}/token", form={"code": "a b"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant"}


def test_the_setting_takes_networks_or_stops_the_start() -> None:
    read = Environment({"N": "10.1.0.0/16, fd00::/8"}).networks("N", help="")
    assert read == [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    for wrong in ("10.1.0.1/16", "example.com", "10.0.0.0/33"):
        with pytest.raises(SettingError, match="N must list networks"):
            Environment({"N": wrong}).networks("N", help="")
