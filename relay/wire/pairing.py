"""The pairing deep link that the QR code holds: all a phone gets (relay-protocol section 20)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from relay.wire import addresses, identity

SCHEMA = "pulse-mobile-onboarding-v1"


class PairingError(ValueError):
    """A link that cannot pair. `field` names the part; the text says what is wrong with it and
    never quotes a secret."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Pairing:
    """`instance_id`, `relay_url` (the app endpoint) and `auth_token` are required."""

    instance_id: str
    relay_url: str
    auth_token: str = field(repr=False)
    identity_public_key: str = ""
    identity_fingerprint: str = ""
    instance_url: str = ""
    name: str = ""

    def link(self) -> str:
        """`pulse://connect?…`: keys sorted, empty parts left out, URL-encoded as upstream does."""
        parts = {**self.__dict__, "schema": SCHEMA}
        return "pulse://connect?" + urlencode(sorted((k, v) for k, v in parts.items() if v))


def parse(link: str) -> Pairing:
    """Reads a link as an app must. Raises PairingError naming the first missing or wrong part.

    An identity without a key, or whose key and fingerprint differ, is refused; a link without any
    identity is read (the wire allows it), and it is for the caller to refuse or warn.
    """
    parts = urlsplit(link.strip())
    if parts.scheme != "pulse" or parts.netloc != "connect":
        raise PairingError("link", "a pairing link starts with pulse://connect?")
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise PairingError(
            "link", "the pairing link is damaged: its parts cannot be read"
        ) from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise PairingError("link", "the pairing link is damaged: it says the same thing twice")
    if values.get("schema", SCHEMA) != SCHEMA:
        raise PairingError("schema", f"this link is not of the kind {SCHEMA}; update the app")
    known = {k: v.strip() for k, v in values.items() if k in Pairing.__dataclass_fields__}
    for name in ("instance_id", "relay_url", "auth_token"):
        if not known.get(name):
            raise PairingError(name, f"the pairing link has no {name}; make a new QR code")
    try:
        addresses.check(known["relay_url"])
    except addresses.AddressError as wrong:
        raise PairingError("relay_url", str(wrong)) from None
    _check_identity(known.get("identity_public_key", ""), known.get("identity_fingerprint", ""))
    return Pairing(**known)


def _check_identity(public_key: str, fingerprint: str) -> None:
    if not public_key:
        if fingerprint:
            raise PairingError(
                "identity_public_key",
                "the pairing link has an identity fingerprint but no key; make a new QR code",
            )
        return
    try:
        actual = identity.fingerprint(public_key)
    except identity.IdentityError as wrong:
        raise PairingError("identity_public_key", str(wrong)) from None
    if fingerprint and fingerprint.upper() != actual:
        raise PairingError(
            "identity_fingerprint",
            "the identity key and fingerprint of the pairing link do not agree; do not use it",
        )
