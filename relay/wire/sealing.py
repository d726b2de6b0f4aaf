"""Key exchange and the sealed channel between app and instance (relay-protocol section 5).

The relay carries these bytes and cannot open them. What the wire cannot give (only the instance
signs, so a relay that saw a token can pose as its app: F47) is told in docs/security.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SALT = b"pulse-relay-e2e-channel-v1"
INFO_APP_TO_INSTANCE = b"relay-e2e-app-to-instance"
INFO_INSTANCE_TO_APP = b"relay-e2e-instance-to-app"
KEY_SIZE = 32
NONCE_SIZE = 12  # u64 counter, little endian, then four zero bytes
OVERHEAD = NONCE_SIZE + 16  # and the tag: the least a sealed message can have
LAST_COUNTER = 2**64 - 2  # 2^64-1 is never used, so that no counter wraps into a used nonce


class SealingError(ValueError):
    """`code`: KEY_EXCHANGE_TOO_SHORT, BAD_PUBLIC_KEY, TOO_SHORT, REPLAY, BAD_TAG or
    COUNTER_EXHAUSTED."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class KeyExchange(NamedTuple):
    """Payload of a KEY_EXCHANGE frame: length byte, ephemeral key, signature (none from an app)."""

    public: bytes
    signature: bytes = b""

    def encode(self) -> bytes:
        return bytes([len(self.public)]) + self.public + self.signature

    @classmethod
    def parse(cls, payload: bytes) -> KeyExchange:
        """Raises SealingError(KEY_EXCHANGE_TOO_SHORT). The key's length is judged when it is used."""
        if len(payload) < 2 or len(payload) < 1 + payload[0]:
            raise SealingError("KEY_EXCHANGE_TOO_SHORT")
        return cls(payload[1 : 1 + payload[0]], payload[1 + payload[0] :])


class Keys(NamedTuple):
    a2i: bytes  # app seals, instance opens
    i2a: bytes  # instance seals, app opens


class EphemeralKey:
    """One side's X25519 key of one exchange."""

    def __init__(self, private: bytes | None = None) -> None:
        self._key = (
            X25519PrivateKey.generate()
            if private is None
            else X25519PrivateKey.from_private_bytes(private)
        )
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, peer: bytes) -> Keys:
        """Both channel keys. Raises SealingError(BAD_PUBLIC_KEY) for a wrong length or a low-order
        point, which would make the shared secret known to everyone."""
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise SealingError("BAD_PUBLIC_KEY") from None
        return Keys(_derive(shared, INFO_APP_TO_INSTANCE), _derive(shared, INFO_INSTANCE_TO_APP))


def _derive(shared: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=SALT, info=info).derive(shared)


@dataclass
class SealedChannel:
    """One side of a sealed channel; counters start at 0 with every key exchange."""

    sending_key: bytes = field(repr=False)
    receiving_key: bytes = field(repr=False)
    next_to_send: int = 0
    next_expected: int = 0

    @classmethod
    def of_app(cls, keys: Keys) -> SealedChannel:
        return cls(sending_key=keys.a2i, receiving_key=keys.i2a)

    @classmethod
    def of_instance(cls, keys: Keys) -> SealedChannel:
        return cls(sending_key=keys.i2a, receiving_key=keys.a2i)

    def __post_init__(self) -> None:
        self._seal = AESGCM(self.sending_key).encrypt
        self._open = AESGCM(self.receiving_key).decrypt

    def seal(self, plaintext: bytes) -> bytes:
        """Raises SealingError(COUNTER_EXHAUSTED)."""
        if self.next_to_send > LAST_COUNTER:
            raise SealingError("COUNTER_EXHAUSTED")
        nonce = self.next_to_send.to_bytes(8, "little") + bytes(4)
        # Counted before it is used: a failing cipher must not leave a nonce to be used twice.
        self.next_to_send += 1
        return nonce + self._seal(nonce, plaintext, None)

    def open(self, sealed: bytes) -> bytes:
        """Gaps in the counter are fine, going back is not; only a message whose tag is right moves
        it on. Raises SealingError(TOO_SHORT, REPLAY, BAD_TAG)."""
        if len(sealed) < OVERHEAD:
            raise SealingError("TOO_SHORT")
        nonce = sealed[:NONCE_SIZE]
        counter = int.from_bytes(nonce[:8], "little")
        if counter < self.next_expected:
            raise SealingError("REPLAY")
        try:
            plaintext = self._open(nonce, sealed[NONCE_SIZE:], None)
        except InvalidTag:
            raise SealingError("BAD_TAG") from None
        self.next_expected = counter + 1
        return plaintext
