"""The Ed25519 keys that sign entitlement leases (design section 6, F57).

A key is *prepared* (verifiers may learn it, it signs nothing yet), then *active* (exactly one, it
signs), then *retiring*: its private half is destroyed at once, its public half stays valid until
the last lease that it signed has run out, and then it is forgotten.

The `kid` is for people and records: it is the start of the SHA-256 of the public key. It is not
put into leases, because their header must be exactly what existing verifiers have seen
(relay-protocol section 7); a verifier tries each key it has.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from billing.models import SigningKey
from tenants import sealing

LEASE_LIFE: Final = timedelta(hours=24)
# A retiring key outlives its last lease by what clocks may differ and verifiers may lag.
RETIREMENT: Final = LEASE_LIFE + timedelta(minutes=10)
# pg_advisory_xact_lock: whoever makes, promotes or retires keys does it alone.
_LOCK: Final = 0x70635F6B657973  # "pc_keys"


class RotationRefused(Exception):
    """A key operation that would leave verifiers unable to verify; the message says what to do."""


@dataclass(frozen=True)
class Listed:
    """One key as people see it; `state` is prepared, active or retiring."""

    kid: str
    public_key: str
    state: str
    created_at: str
    retires_at: str | None


def ensure(*, actor: Actor | None = None) -> SigningKey:
    """The active key, made when there is none; in development also in the verifiers' key file.

    Callable from any number of processes at once.
    """
    with transaction.atomic():
        _lock()
        key = SigningKey.objects.filter(active=True).first()
        if key is None:
            key = _make(active=True)
            _record("signing_key_made", key, actor)
            _publish()
        elif (path := _development_file()) is not None and not path.exists():
            _publish()
    return key


def active() -> SigningKey:
    """The key to sign with now; unlike ensure() it takes no lock while there is one."""
    return SigningKey.objects.filter(active=True).first() or ensure()


def prepare(*, actor: Actor, reason: str = "") -> SigningKey:
    """The next key: listed and exported, so that verifiers can learn it before it signs."""
    with transaction.atomic():
        _lock()
        key = _prepared()
        if key is None:
            key = _make(active=False)
            _record("signing_key_prepared", key, actor, reason)
            _publish()
    return key


def rotate(*, actor: Actor, reason: str = "", force: bool = False) -> SigningKey:
    """Makes the prepared key (or a fresh one) the active one and retires the old one.

    Raises RotationRefused when the relay's configured keys do not hold the new one yet: every lease it
    signed would be refused (F79). `force` is for a compromised key: better no leases than forged
    ones.
    """
    with transaction.atomic():
        _lock()
        forget_retired()
        key = _prepared() or _make(active=False)
        if _development_file() is None and not force and key.public_key not in configured():
            raise RotationRefused(
                "The relay does not know the next key yet. Run `manage.py keys prepare`, add the "
                "key that it prints to PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY (or its file), restart "
                "what reads it, then rotate."
            )
        now = timezone.now()
        SigningKey.objects.filter(active=True).update(
            active=False, retires_at=now + RETIREMENT, sealed_private_key=b""
        )
        key.active = True
        key.save(update_fields=["active"])
        _record("signing_key_rotated", key, actor, reason)
        # Before the commit: a verifier may know a key that signs nothing, never the reverse.
        _publish()
    return key


def forget_retired() -> int:
    """Deletes keys whose last lease ran out; returns how many. The worker calls it hourly."""
    with transaction.atomic():
        _lock()
        gone = list(SigningKey.objects.filter(retires_at__lte=timezone.now()))
        for key in gone:
            _record("signing_key_forgotten", key, None)
        if gone:
            SigningKey.objects.filter(pk__in=[key.pk for key in gone]).delete()
            _publish()
    return len(gone)


def private_key(key: SigningKey) -> Ed25519PrivateKey:
    """The signing half. Raises tenants.sealing.SealError when the encryption key is another one."""
    seed = sealing.open_sealed(bytes(key.sealed_private_key), context=_context(key.kid))
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_keys() -> list[str]:
    """Base64 public keys that verifiers need now: active, prepared, then retiring."""
    return [key.public_key for key in _valid()]


def listed() -> list[Listed]:
    """All keys for people; nothing secret."""
    return [
        Listed(
            kid=key.kid,
            public_key=key.public_key,
            state="active" if key.active else "retiring" if key.retires_at else "prepared",
            created_at=key.created_at.isoformat(),
            retires_at=key.retires_at.isoformat() if key.retires_at else None,
        )
        for key in _valid()
    ]


def export(path: Path) -> list[str]:
    """Writes the public keys to `path`, one a line, replaced in one step; returns them.

    A relay that reads the file again at any moment sees the old text or the new, never a part.
    """
    lines = public_keys()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    draft.chmod(0o644)
    draft.replace(path)
    return lines


def configured() -> list[str]:
    """The keys that this configuration gives the relay, from the variable and from the file."""
    text = settings.RELAY_ENTITLEMENT_PUBLIC_KEY
    if settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE:
        with contextlib.suppress(OSError):  # no file is no key: the caller says so
            text += "\n" + Path(settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE).read_text("utf-8")
    return [
        _standard(word) for line in text.splitlines() for word in line.split(",") if word.strip()
    ]


def _standard(key: str) -> str:
    """Padded standard base64 of a key that may come URL-safe and unpadded."""
    word = key.strip().rstrip("=").replace("-", "+").replace("_", "/")
    return word + "=" * (-len(word) % 4)


def _development_file() -> Path | None:
    """The key file that development keeps up by itself; production exports on request only."""
    name = settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE
    return None if settings.PRODUCTION or not name else Path(name)


def _publish() -> None:
    path = _development_file()
    if path is not None:
        export(path)


def _valid() -> list[SigningKey]:
    return list(
        SigningKey.objects.filter(Q(retires_at=None) | Q(retires_at__gt=timezone.now())).order_by(
            "-active", "-retires_at", "-created_at"
        )
    )


def _prepared() -> SigningKey | None:
    return SigningKey.objects.filter(active=False, retires_at=None).order_by("created_at").first()


def _make(*, active: bool) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    kid = hashlib.sha256(public).hexdigest()[:16]
    return SigningKey.objects.create(
        kid=kid,
        public_key=base64.b64encode(public).decode("ascii"),
        sealed_private_key=sealing.seal(private.private_bytes_raw(), context=_context(kid)),
        active=active,
    )


def _context(kid: str) -> str:
    return f"signing-key:{kid}"


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _record(action: str, key: SigningKey, actor: Actor | None, reason: str = "") -> None:
    trail.record(
        action=action,
        actor=actor or Actor.system("keys"),
        subject=f"signing key {key.kid}",
        reason=reason,
        after={"public_key": key.public_key},
    )
