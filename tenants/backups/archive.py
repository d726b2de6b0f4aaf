"""The file of a backup: compressed, encrypted in chunks, and good for one organisation only.

     0       5          9              9 + n
     +-------+----------+--------------+---------+---------+---
     | PCBK1 | n (u32)  | header, JSON | chunk 0 | chunk 1 | ...
     +-------+----------+--------------+---------+---------+---
     chunk:  length (u32, highest bit: the last one), then ciphertext and its tag of 16 bytes

AES-256-GCM under a key of the file's own: HKDF-SHA256 of PULSECLOUD_ENCRYPTION_KEY with the salt in the
header. A nonce is the chunk's number and whether it is the last, so that chunks cannot change places
and a cut file shows. Magic and header, the organisation's id among it, are associated data of every
chunk. The plaintext is one zlib stream of frames: kind (1 byte), length (u32), payload.

     M  what is to come, JSON        B  a part begins, JSON      D  some of its bytes
     E  the part ends, JSON          Z  what was written, JSON; the last frame
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

MAGIC: Final = b"PCBK1"
SUFFIX: Final = ".pcbk"
DRAFT: Final = ".part"  # until it is whole
CHUNK: Final = 64 * 1024  # bytes of compressed plaintext
_LAST: Final = 1 << 31
_TAG: Final = 16
_LONGEST_HEADER: Final = 4096
_LONGEST_FRAME: Final = 1 << 30  # no row of PostgreSQL is longer
_FRAME: Final = struct.Struct(">cI")
_LENGTH: Final = struct.Struct(">I")


class ArchiveError(Exception):
    """The file cannot be used. `code` is no_key, not_a_backup, wrong_key, wrong_organisation, damaged
    or cut_short; the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def key_id() -> str:
    """Which encryption key this installation has, without telling it: 16 hex digits."""
    return _derived(b"", b"pulsecloud backup key id 1")[:8].hex()


class Writer:
    """`with Writer(path, …) as out:` frames go in; the file appears under its name only when the block
    ends well, complete and on disk."""

    def __init__(self, path: Path, *, organisation: UUID, backup: UUID) -> None:
        salt = os.urandom(32)
        header = json.dumps(
            {
                "organisation": str(organisation),
                "backup": str(backup),
                "key": key_id(),
                "salt": salt.hex(),
            },
            sort_keys=True,
        ).encode()
        self._prefix = MAGIC + _LENGTH.pack(len(header)) + header
        self._cipher = AESGCM(_derived(salt, b"pulsecloud backup 1"))
        self._pressed = zlib.compressobj(6)
        self._buffer = bytearray()
        self._number = 0
        self._digest = hashlib.sha256()
        self.path = path
        self.draft = path.with_name(path.name + DRAFT)
        self.bytes = 0
        self._file: BinaryIO | None = None

    @property
    def sha256(self) -> str:
        """Of the whole file, in hex; final once the block has ended."""
        return self._digest.hexdigest()

    def frame(self, kind: str, payload: bytes | dict[str, Any]) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._compressed(self._pressed.compress(_FRAME.pack(kind.encode(), len(data)) + data))

    def __enter__(self) -> Writer:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Nobody but us may read it from the first byte on.
        descriptor = os.open(self.draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._put(self._prefix)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        file = self._file
        if file is None:
            return
        try:
            with file:
                if error is None:
                    self._compressed(self._pressed.flush())
                    self._chunk(bytes(self._buffer), last=True)
                    file.flush()
                    os.fsync(file.fileno())
            if error is None:
                self.draft.replace(self.path)
                _sync_directory(self.path.parent)
                _sync_directory(self.path.parent.parent)  # the directory may be new as well
        finally:
            # On a full disk closing fails too, and what was written so far must make room again.
            self.draft.unlink(missing_ok=True)

    def _compressed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > CHUNK:  # one byte at least stays for the last chunk
            self._chunk(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def _chunk(self, data: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), data, self._prefix)
        self._put(_LENGTH.pack(len(sealed) | (_LAST if last else 0)) + sealed)
        self._number += 1

    def _put(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError("the writer is not open")
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)


def read(path: Path, *, organisation: UUID, backup: UUID) -> Iterator[tuple[str, bytes]]:
    """The frames of a file, as (kind, payload). What comes is authentic, and whole once the iterator
    has ended without an error. Raises ArchiveError, and OSError."""
    with path.open("rb") as file:
        prefix, header = _opened(file)
        if header.get("organisation") != str(organisation) or header.get("backup") != str(backup):
            raise ArchiveError(
                "wrong_organisation", "The file is another backup, or another organisation's."
            )
        if header.get("key") != key_id():
            raise ArchiveError(
                "wrong_key",
                f"The file was made with the encryption key {header.get('key')}; this installation has "
                f"{key_id()}. Start with the PULSECLOUD_ENCRYPTION_KEY of that time.",
            )
        cipher = AESGCM(_derived(bytes.fromhex(header["salt"]), b"pulsecloud backup 1"))
        yield from _frames(_plain(file, cipher, prefix))


def told(payload: bytes) -> dict[str, Any]:
    """What a frame of kind M, B, E or Z says. It is ours: the file was authentic."""
    said: dict[str, Any] = json.loads(payload)
    return said


def _opened(file: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    """Everything up to the first chunk, and the header in it."""
    start = file.read(len(MAGIC) + _LENGTH.size)
    try:
        if len(start) < len(MAGIC) + _LENGTH.size or not start.startswith(MAGIC):
            raise ValueError
        (length,) = _LENGTH.unpack(start[len(MAGIC) :])
        if length > _LONGEST_HEADER:
            raise ValueError
        text = file.read(length)
        header = json.loads(text)
        bytes.fromhex(header["salt"])
    except (ValueError, KeyError, TypeError):
        raise ArchiveError("not_a_backup", "The file is no backup of PulseCloud.") from None
    return start + text, header


def _plain(file: BinaryIO, cipher: AESGCM, prefix: bytes) -> Iterator[bytes]:
    """The decrypted and decompressed stream, in pieces."""
    expand = zlib.decompressobj()
    number, last = 0, False
    while not last:
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            raise _cut()
        (length,) = _LENGTH.unpack(start)
        last, length = bool(length & _LAST), length & ~_LAST
        if not _TAG <= length <= CHUNK + _TAG:
            raise _damaged()
        sealed = file.read(length)
        if len(sealed) < length:
            raise _cut()
        try:
            data = cipher.decrypt(_nonce(number, last=last), sealed, prefix)
        except InvalidTag:
            raise _damaged() from None
        try:
            yield expand.decompress(data)
        except zlib.error:
            raise _damaged() from None
        number += 1
    if file.read(1):
        raise _damaged()
    yield expand.flush()


def _frames(pieces: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    buffer = bytearray()
    kind = ""
    for piece in pieces:
        buffer += piece
        at = 0
        while len(buffer) - at >= _FRAME.size:
            code, length = _FRAME.unpack_from(buffer, at)
            if length > _LONGEST_FRAME:
                raise _damaged()
            end = at + _FRAME.size + length
            if len(buffer) < end:
                break
            kind = code.decode("latin-1")
            yield kind, bytes(buffer[at + _FRAME.size : end])
            at = end
        del buffer[:at]
    if buffer or kind != "Z":
        raise _cut()


def _nonce(number: int, *, last: bool) -> bytes:
    """12 bytes; unique under the file's own key."""
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _derived(salt: bytes, info: bytes) -> bytes:
    try:
        key = base64.b64decode(settings.ENCRYPTION_KEY, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ArchiveError("no_key", "PULSECLOUD_ENCRYPTION_KEY must be base64 of 32 bytes.")
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _cut() -> ArchiveError:
    return ArchiveError("cut_short", "The file ends too early. Use another backup.")


def _damaged() -> ArchiveError:
    return ArchiveError("damaged", "The file was changed after it was written. Use another backup.")


def _sync_directory(path: Path) -> None:
    """Without this a file that was renamed may be gone after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
