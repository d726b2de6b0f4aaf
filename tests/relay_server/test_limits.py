"""Connects per address and minute, and whose address it is (F52, F71)."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import connect

from relay.server.addresses import Budget, address_of, is_loopback, networks
from relay.wire.frames import Connect, Error, ErrorCode, FrameType, Register, parse
from tests.raw_socket import RawSocket
from tests.relay_server.process import NewRelay
from tests.relay_server.signing import licence


async def first_answer(url: str, first: Register | Connect, forwarded: str = "") -> str:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    async with connect(url, additional_headers=headers, compression=None) as socket:
        peer = RawSocket(socket)
        await peer.send(first)
        frame = await peer.frame()
        if frame.type is FrameType.REGISTER_ACK:
            return "accepted"
        return parse(Error, frame.payload).code


@pytest.mark.covers("F41", "F52", "F71")
async def test_too_many_connects_of_one_address(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_CONNECTS_PER_MINUTE="5", TRUSTED_PROXIES="127.0.0.1/32")
    app = Connect("relay_0123456789abcdef", "token")
    for _ in range(4):
        code = await first_answer(relay.apps, app, "203.0.113.7")
        assert code == ErrorCode.INSTANCE_NOT_FOUND
    assert await first_answer(relay.instances, Register(licence()), "203.0.113.7") == "accepted"
    for url, first in ((relay.apps, app), (relay.instances, Register(licence()))):
        assert await first_answer(url, first, "203.0.113.7") == ErrorCode.RATE_LIMITED
    # The caller writes the left of the header, the proxy the right end.
    forged = "198.51.100.9, 203.0.113.7"
    assert await first_answer(relay.apps, app, forged) == ErrorCode.RATE_LIMITED
    assert await first_answer(relay.instances, Register(licence()), "198.51.100.9") == "accepted"
    # A limit is changed with a restart, and holds for everybody at once: nothing is carried over.
    assert relay.stop()[0] == 0
    relay.environment["PULSE_RELAY_CONNECTS_PER_MINUTE"] = "2"
    relay.start()
    answers = [await first_answer(relay.apps, app, "203.0.113.7") for _ in range(3)]
    assert answers == [ErrorCode.INSTANCE_NOT_FOUND] * 2 + [ErrorCode.RATE_LIMITED]


@pytest.mark.covers("F71")
async def test_nobody_is_believed_without_trusted_proxies(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_CONNECTS_PER_MINUTE="3")
    for n in range(3):
        assert await first_answer(relay.instances, Register(licence()), f"10.0.0.{n}") == "accepted"
    limited = await first_answer(relay.instances, Register(licence()), "10.0.0.9")
    assert limited == ErrorCode.RATE_LIMITED


@pytest.mark.covers("F71")
@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("203.0.113.1", "10.9.9.9", "203.0.113.1"),  # not a proxy: its header is hearsay
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", "[2001:db8::7]:443", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),  # a socket for both kinds
        ("10.0.0.1", "::ffff:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        ("", "1.1.1.1", ""),
    ],
)
def test_whose_address_it_is(peer: str, header: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", header.encode())] if header else []
    assert address_of(peer, headers, networks(["10.0.0.0/8", "fd00::/8"])) == expected


def test_loopback() -> None:
    assert all(is_loopback(a) for a in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"))
    assert not any(is_loopback(a) for a in ("10.0.0.1", "::2", "", "localhost", "::ffff:10.0.0.1"))


def test_a_subscribers_ipv6_addresses_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(2)
    assert budget.allow("2001:db8:0:1::1")
    assert budget.allow("2001:db8:0:1:ffff::2")
    assert not budget.allow("2001:db8:0:1::3")
    assert budget.allow("2001:db8:0:2::1")
    now = [0.0]
    monkeypatch.setattr("relay.server.addresses.time.monotonic", lambda: now[0] + 1e6)
    assert budget.allow("2001:db8:0:1::3")  # refilled
    monkeypatch.setattr("relay.server.addresses.REMEMBERED", 100)
    for n in range(1000):
        budget.allow(f"10.1.{n // 256}.{n % 256}")
    assert len(budget._spent) <= 100
    assert all(Budget(0).allow("10.0.0.1") for _ in range(100))
