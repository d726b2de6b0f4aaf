"""The Ed25519 key that signs seals, and which former keys to believe.

The key is derived (HKDF-SHA256) from PULSECLOUD_ENCRYPTION_KEY, so it is in no table and no backup
of the database. Whoever can only write to the database cannot sign; whoever has the encryption key
can. When the encryption key is replaced the seals' key changes with it: the public half of the
former one stands in KeyStatement, and `trust` has the present key vouch for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from audit.models import Batch, KeyStatement

_INFO = b"pulsecloud audit sealing key 1"


class KeyMissing(Exception):
    """PULSECLOUD_ENCRYPTION_KEY gives no key, or no key with such an id was ever used."""


@dataclass(frozen=True)
class Believed:
    """A public key, and the number of the last batch that it may have signed (None: any)."""

    public: Ed25519PublicKey
    up_to: int | None

    def signed(self, text: bytes, signature: str) -> bool:
        try:
            self.public.verify(bytes.fromhex(signature), text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Own:
    """The key of this installation, now."""

    private: Ed25519PrivateKey
    public: bytes
    key_id: str

    def sign(self, text: bytes) -> str:
        """Hex."""
        return self.private.sign(text).hex()


def own() -> Own:
    """Raises KeyMissing when the encryption key is unusable."""
    return _derived(settings.ENCRYPTION_KEY)


def fingerprint(public: bytes) -> str:
    """The id of a key: the first 128 bits of the SHA-256 of its public half, in hex."""
    return hashlib.sha256(public).hexdigest()[:32]


def introduce(key: Own) -> None:
    """Writes down the public half of a key that signs for the first time."""
    known = KeyStatement.objects.filter(key_id=key.key_id, by_key_id=key.key_id)
    if not known.exists():
        _state(key, key.key_id, key.public, up_to=None)


def vouch(key_id: str, *, up_to: int) -> bool:
    """Our key says: this former key signed rightly, up to that batch. False when it did before.

    Raises KeyMissing.
    """
    statement = KeyStatement.objects.filter(key_id=key_id).order_by("pk").first()
    public = None if statement is None else _public(statement)
    if statement is None or public is None:
        raise KeyMissing(f"No key {key_id} has ever signed here.")
    signer = own()
    known = KeyStatement.objects.filter(key_id=key_id, by_key_id=signer.key_id, up_to=up_to)
    if known.exists():
        return False
    _state(signer, key_id, public, up_to=up_to)
    return True


def believed(pins: Iterable[str] = ()) -> dict[str, Believed]:
    """The keys whose signatures count: our own, those with the ids `pins`, and those that one of
    these vouches for. A key in the table that nobody vouches for counts for nothing."""
    found: dict[str, Believed] = {}
    try:
        mine = own()
        found[mine.key_id] = Believed(mine.private.public_key(), None)
    except KeyMissing:
        pass  # who only verifies needs no secret, but pins
    statements = list(KeyStatement.objects.order_by("-pk"))
    wanted = set(pins)
    for said in statements:
        public = _public(said)
        if public is not None and said.key_id in wanted:
            found.setdefault(
                said.key_id, Believed(Ed25519PublicKey.from_public_bytes(public), None)
            )
    grown = True
    while grown:
        grown = False
        for said in statements:
            public, voucher = _public(said), found.get(said.by_key_id)
            if public is None or voucher is None or said.up_to is None or said.key_id in found:
                continue
            if voucher.signed(_text(said), said.signature):
                key = Ed25519PublicKey.from_public_bytes(public)
                found[said.key_id], grown = Believed(key, said.up_to), True
    return found


def counts(batch: Batch, keys: dict[str, Believed], text: bytes) -> bool:
    """Whether `batch` is signed, over `text`, by a key that may have signed it."""
    key = keys.get(batch.key_id)
    if key is None or (key.up_to is not None and batch.number > key.up_to):
        return False
    return key.signed(text, batch.signature)


@lru_cache(maxsize=4)
def _derived(encryption_key: str) -> Own:
    try:
        secret = base64.b64decode(encryption_key, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != 32:
        raise KeyMissing("PULSECLOUD_ENCRYPTION_KEY must be base64 of 32 bytes.")
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(secret)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    return Own(private, public, fingerprint(public))


def _state(signer: Own, key_id: str, public: bytes, *, up_to: int | None) -> None:
    said = KeyStatement(
        key_id=key_id,
        public_key=base64.b64encode(public).decode("ascii"),
        by_key_id=signer.key_id,
        up_to=up_to,
    )
    said.signature = signer.sign(_text(said))
    said.save()


def _text(said: KeyStatement) -> bytes:
    content = json.dumps([said.key_id, said.public_key, said.by_key_id, said.up_to])
    return f"pulsecloud audit key 1\n{content}".encode()


def _public(said: KeyStatement) -> bytes | None:
    """The key in a statement, unless it is not the one that its id names."""
    try:
        public = base64.b64decode(said.public_key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return public if len(public) == 32 and fingerprint(public) == said.key_id else None
