"""Who is calling: peer addresses behind proxies, and how many connects an address may make."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Headers = Sequence[tuple[bytes, bytes]]

REMEMBERED = 50_000  # addresses; a full table forgets those whose budget is whole again


def networks(words: Iterable[str]) -> list[Network]:
    """TRUSTED_PROXIES. Raises ValueError."""
    return [ip_network(word, strict=False) for word in words]


def address_of(peer: str, headers: Headers, proxies: Sequence[Network]) -> str:
    """The caller's address: the right-most entry of X-Forwarded-For that no trusted proxy wrote for
    another one, if the peer itself is a trusted proxy (F71). Whatever else is in the header was
    written by the caller."""
    address = unmapped(peer)
    if not _trusted(address, proxies):
        return address
    chain = b",".join(v for n, v in headers if n == b"x-forwarded-for").decode("latin-1")
    for entry in reversed(chain.split(",")):
        entry = entry.strip()
        if entry.startswith("["):
            entry = entry[1:].split("]", 1)[0]
        try:
            ip_address(entry)
        except ValueError:
            break
        address = unmapped(entry)
        if not _trusted(address, proxies):
            break
    return address


def is_loopback(peer: str) -> bool:
    try:
        return ip_address(unmapped(peer)).is_loopback
    except ValueError:
        return False


def unmapped(text: str) -> str:
    """An IPv4 address as itself, though a socket for both kinds calls it ::ffff:192.0.2.1."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped) if mapped else text


def _trusted(text: str, proxies: Sequence[Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address.version == n.version and address in n for n in proxies)


class Budget:
    """Token buckets: `per_minute` connects in one go, refilled evenly over a minute; 0 is no limit."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._spent: dict[str, tuple[float, float]] = {}  # address → (spent, when)

    def allow(self, address: str) -> bool:
        if not self.per_minute:
            return True
        key, now = _household(address), time.monotonic()
        spent, when = self._spent.get(key, (0.0, now))
        spent = max(0.0, spent - (now - when) * self.per_minute / 60.0)
        if spent + 1.0 > self.per_minute:
            return False
        if len(self._spent) >= REMEMBERED and key not in self._spent:
            self._forget(now)
        self._spent[key] = (spent + 1.0, now)
        return True

    def _forget(self, now: float) -> None:
        rate = self.per_minute / 60.0
        whole = [k for k, (spent, when) in self._spent.items() if spent <= (now - when) * rate]
        for key in whole or list(self._spent)[: REMEMBERED // 10]:
            del self._spent[key]


def _household(address: str) -> str:
    """One IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False).network_address)
    return address
