"""Secrets at rest: AES-256-GCM under PULSECLOUD_ENCRYPTION_KEY.

The context (an organisation's UUID, say) is associated data: a sealed value copied into another
organisation's row does not open there. Blob: version byte 1, 12 bytes nonce, ciphertext, tag.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_VERSION = b"\x01"
_NONCE = 12


class SealError(Exception):
    """The blob was not sealed by this key for this context, or the key is unusable."""


def seal(plaintext: bytes, *, context: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + _cipher().encrypt(nonce, plaintext, context.encode())


def open_sealed(blob: bytes | memoryview, *, context: str) -> bytes:
    """The plaintext; raises SealError."""
    blob = bytes(blob)
    if blob[:1] != _VERSION or len(blob) < 1 + _NONCE + 16:
        raise SealError("This is not a sealed value.")
    try:
        return _cipher().decrypt(blob[1 : 1 + _NONCE], blob[1 + _NONCE :], context.encode())
    except InvalidTag:
        raise SealError("Sealed with another key or for another context.") from None


def _cipher() -> AESGCM:
    try:
        key = base64.b64decode(settings.ENCRYPTION_KEY, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise SealError("PULSECLOUD_ENCRYPTION_KEY must be base64 of 32 bytes.")
    return AESGCM(key)
