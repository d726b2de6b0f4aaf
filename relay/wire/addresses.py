"""Addresses of a relay (relay-protocol section 1)."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

INSTANCE_PATH = "/ws/instance"
APP_PATH = "/ws/app"


class AddressError(ValueError):
    """Not the address of a relay; the text says why, for people."""


def check(url: str) -> SplitResult:
    """The parts of a relay address as an instance accepts it: ws or wss, a host, no user
    information, query or fragment, port 1-65535. Raises AddressError."""
    if any(c <= " " or c == "\x7f" for c in url):  # urlsplit would drop some of them silently
        raise AddressError("a relay address holds no spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressError("the port of a relay address is 1 to 65535") from None
    if parts.scheme not in ("ws", "wss"):
        raise AddressError("a relay address starts with wss:// or ws://")
    if not parts.hostname:
        raise AddressError("the relay address names no host")
    if parts.username is not None or parts.password is not None:
        raise AddressError("a relay address holds no user name or password")
    if "?" in url or "#" in url:
        raise AddressError("a relay address has no query and no fragment")
    if port == 0:
        raise AddressError("the port of a relay address is 1 to 65535")
    return parts


def app_url(relay_url: str) -> str:
    """The address apps dial, made from the one instances dial: both are on one origin. A path of
    one's own is kept. Raises AddressError."""
    parts = check(relay_url.strip())
    path = parts.path.rstrip("/")
    if path in ("", INSTANCE_PATH):
        path = APP_PATH
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"
