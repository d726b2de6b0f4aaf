"""How a host is written in leases and compared with what a runtime says (relay-protocol section 7)."""

from __future__ import annotations


def normalised(host: str) -> str:
    """Trimmed, without scheme, path, port and brackets, lower case; empty when nothing is left."""
    text = host.strip()
    if "://" in text:
        text = text.split("://", 1)[1]
    text = text.split("/", 1)[0]
    if text.startswith("["):
        text = text[1:].split("]", 1)[0]
    elif text.count(":") == 1:
        text = text.split(":", 1)[0]
    return text.strip().lower()
