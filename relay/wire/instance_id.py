"""Instance ids: pure functions of the credential, so that lost relay data changes none of them
(relay-protocol section 6.4)."""

from __future__ import annotations

import hashlib


def of_host(instance_host: str) -> str:
    """Id of a hosted instance, from the `instance_host` of its signed lease (never the hint)."""
    return _id(f"hosted:{normalise_host(instance_host)}")


def of_licence(licence_id: str, installation_id: str = "", hint: str = "") -> str:
    """Id of a self-hosted instance. Several machines on one v5 licence without an instance secret
    share it; v6 grants part them by `installation_id`."""
    return _id(f"license:{licence_id}:{installation_id}:{hint}")


def normalise_host(text: str) -> str:
    """Host name of an address: without scheme, path, port and brackets, in lower case. Empty for
    blank text."""
    host = text.strip()
    if "://" in host:
        host = host.split("://", 1)[1]
    host = host.split("/", 1)[0]
    if host.startswith("["):
        host = host[1:].split("]", 1)[0]
    elif host.count(":") == 1:  # more colons: an IPv6 address without brackets
        host = host.split(":", 1)[0]
    return host.strip().lower()


def _id(text: str) -> str:
    return "relay_" + hashlib.sha256(text.encode()).hexdigest()[:16]
