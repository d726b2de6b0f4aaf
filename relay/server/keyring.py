"""Public keys that credentials are verified with, from settings and from a file that may change."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
import time
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0  # seconds between looks at the key file; a registration pays one stat at most


class BadKey(ValueError):
    """Text that is not an Ed25519 public key."""


def parse_key(text: str) -> Ed25519PublicKey:
    """Base64 of 32 bytes: standard with padding or URL-safe without (relay-protocol section 7).
    Raises BadKey."""
    compact = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise BadKey("a public key is the base64 text of 32 bytes") from error


def parse_keys(text: str) -> list[Ed25519PublicKey]:
    """Several keys, separated by commas or white space; `#` starts a comment. Raises BadKey."""
    plain = re.sub(r"#[^\n]*", "", text)
    return [parse_key(word) for word in re.split(r"[\s,]+", plain) if word]


class Keyring:
    """The keys of one kind of credential. A bad text given at start is an error; a file that turns
    bad later is logged, and the keys read before stay."""

    def __init__(self, text: str = "", *, file: str = "") -> None:
        """`file` need not exist yet. Raises BadKey for bad keys in `text`."""
        self._fixed = parse_keys(text)
        self._file = Path(file) if file else None
        self._from_file: list[Ed25519PublicKey] = []
        self._seen: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self.problem = ""
        self.keys()

    def keys(self) -> list[Ed25519PublicKey]:
        if self._file is not None and time.monotonic() - self._looked >= LOOK_AGAIN:
            self._looked = time.monotonic()
            self._look(self._file)
        return self._fixed + self._from_file

    def verify(self, signature: bytes, signed: bytes) -> bool:
        """Whether any of the keys made this Ed25519 signature. Credentials name no key (`kid`), so
        each is tried; there are two or three at most, 0.1 ms each."""
        for key in self.keys():
            try:
                key.verify(signature, signed)
            except InvalidSignature:
                continue
            return True
        return False

    def _look(self, file: Path) -> None:
        try:
            stat = file.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            keys = parse_keys(file.read_text(encoding="utf-8"))
        except FileNotFoundError:  # taken away on purpose: the keys are no longer wanted
            keys, seen = [], None
        except (OSError, BadKey, UnicodeDecodeError) as error:
            if not self.problem:
                log.error("key file cannot be used", extra={"file": str(file), "why": str(error)})
            self.problem = f"{os.fspath(file)} cannot be used: {error}"
            return
        if seen is not None or self._seen is not None:
            log.info("keys read", extra={"file": str(file), "keys": len(keys)})
        self.problem = ""
        self._seen, self._from_file = seen, keys
