"""The Ed25519 identity of an instance: what a phone pins (relay-protocol section 5).

Private key as text: base64 of 64 bytes, seed then public key. Public key: base64 of 32 bytes.
Fingerprint: SHA-256 of the public key as upper-case hex pairs joined by colons.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class IdentityError(ValueError):
    """Text that is not an identity key."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The three texts are made together and stored together; `private_key` stays out of reprs."""

    private_key: str = field(repr=False)
    public_key: str
    fingerprint: str

    def sign(self, ephemeral: bytes) -> bytes:
        """Signs the 32 ephemeral public key bytes of a key exchange, and nothing else: 64 bytes."""
        seed = _decoded(self.private_key, 64)[:32]
        return Ed25519PrivateKey.from_private_bytes(seed).sign(ephemeral)


def make() -> Identity:
    return _from_key(Ed25519PrivateKey.generate())


def load(private_key: str) -> Identity:
    """The identity of a stored private key. Raises IdentityError, also when its two halves are not
    one pair."""
    raw = _decoded(private_key, 64)
    identity = _from_key(Ed25519PrivateKey.from_private_bytes(raw[:32]))
    if identity.private_key != base64.b64encode(raw).decode():
        raise IdentityError("the private key does not belong to its public key")
    return identity


def fingerprint(public_key: str) -> str:
    """Fingerprint of a base64 public key, 95 characters. Raises IdentityError."""
    digest = hashlib.sha256(_decoded(public_key, 32)).hexdigest().upper()
    return ":".join(digest[n : n + 2] for n in range(0, 64, 2))


def verify(public_key: str, *, ephemeral: bytes, signature: bytes) -> bool:
    """Whether the holder of `public_key` signed this ephemeral key. Raises IdentityError only for
    a public key that is none."""
    key = Ed25519PublicKey.from_public_bytes(_decoded(public_key, 32))
    try:
        key.verify(signature, ephemeral)
    except InvalidSignature:
        return False
    return True


def _from_key(key: Ed25519PrivateKey) -> Identity:
    public = key.public_key().public_bytes_raw()
    public_text = base64.b64encode(public).decode()
    return Identity(
        private_key=base64.b64encode(key.private_bytes_raw() + public).decode(),
        public_key=public_text,
        fingerprint=fingerprint(public_text),
    )


def _decoded(text: str, size: int) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise IdentityError("an identity key is standard base64") from None
    if len(raw) != size:
        raise IdentityError(f"an identity key of this kind has {size} bytes, not {len(raw)}")
    return raw
