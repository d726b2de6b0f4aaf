"""Texts that belong to one organisation: whoever else is shown one has been shown a leak."""

from __future__ import annotations

import re
import secrets

_FORM = re.compile(rb"mk[0-9a-f]{16}")


def new_marker() -> str:
    """Fits into labels, names, addresses and ids alike."""
    return f"mk{secrets.token_hex(8)}"


def seen(answer: bytes) -> set[str]:
    """All markers in an answer, headers and body."""
    return {found.decode() for found in _FORM.findall(answer.lower())}
