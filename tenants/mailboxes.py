"""When two addresses are one mailbox.

Ours are ASCII, and letter case does not count. Case folding beyond ASCII makes different mailboxes
one: PostgreSQL's UPPER turns ı into I and ſ into S, Python's lower() turns the Kelvin sign into k.
Whoever holds such a look-alike would be taken for somebody else, so there are none: they are
refused where an address comes in, and no look-up finds anybody by one.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError

NOT_ASCII = "Give an address of plain letters (a to z), digits and signs, without accents."


def key(address: str | None) -> str:
    """What tells mailboxes apart, as accounts keep it; empty for none, and for what is not ASCII."""
    text = (address or "").strip()
    return text.lower() if text.isascii() else ""


def same(one: str | None, other: str | None) -> bool:
    return bool(key(one)) and key(one) == key(other)


def require_ascii(address: str) -> None:
    """Raises ValidationError `invalid_email`."""
    if not address.isascii():
        raise ValidationError(NOT_ASCII, code="invalid_email")
