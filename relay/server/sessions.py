"""Durable sessions, blocks and licence bindings (relay-protocol sections 6 and 22).

Synchronous; called in `Storage` threads only, `start` and `resume` in a transaction. Each can be run
again when its connection was lost. A session is written before its REGISTER_ACK is sent, so that a relay killed right after it
accepts the resume; only the hash of the token is kept, and every ACK replaces it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Collection, Iterable
from datetime import timedelta
from enum import Enum, auto

from django.utils import timezone

from relay.server.credentials import Credential
from relay.server.models import BlockedInstance, LicenceBinding, Session
from relay.wire import instance_id as instance_ids

INSTANCE_ID = re.compile(r"relay_[0-9a-f]{16}")
_BATCH = 500  # ids in one IN list; SQLite takes 32,766


class Outcome(Enum):
    GRANTED = auto()
    BLOCKED = auto()
    UNKNOWN = auto()  # no session of that instance
    WRONG = auto()  # the session is another's, has ended, or belongs to another credential


def new_token() -> str:
    return secrets.token_urlsafe(32)


def well_formed(instance_id: str) -> bool:
    """Whether any instance could have this id; others need no look into the database."""
    return INSTANCE_ID.fullmatch(instance_id) is not None


def id_for(credential: Credential, hint: str) -> tuple[str, uuid.UUID | None]:
    """Instance id and organisation of a fresh registration.

    A lease's id comes from its signed host, never from the hint. A licence that staff attached to a
    hosted organisation keeps that organisation's id; any other is told apart by the hint."""
    if credential.kind == "lease":
        return instance_ids.of_host(credential.host), credential.organisation
    bound = LicenceBinding.objects.filter(pk=credential.licence_id).first()
    if bound is not None:
        return bound.instance_id, bound.organisation
    lid, iid = credential.licence_id, credential.installation_id
    return instance_ids.of_licence(lid, iid, hint), None


def start(
    instance_id: str,
    credential: Credential,
    *,
    organisation: uuid.UUID | None,
    token: str,
    life: float,
) -> Outcome:
    """A new session in place of any older one. GRANTED or BLOCKED. `life` in seconds."""
    now = timezone.now()
    if is_blocked(instance_id):
        return Outcome.BLOCKED
    session = Session(
        instance_id=instance_id,
        token_hash=_hash(token),
        kind=credential.kind,
        licence_id=credential.licence_id,
        installation_id=credential.installation_id,
        organisation=organisation,
        created_at=now,
        expires_at=now + timedelta(seconds=life),
    )
    Session.objects.bulk_create(
        [session],
        update_conflicts=True,
        unique_fields=["instance_id"],
        update_fields=[
            "token_hash",
            "kind",
            "licence_id",
            "installation_id",
            "organisation",
            "expires_at",
        ],
    )
    return Outcome.GRANTED


def resume(
    instance_id: str, credential: Credential, *, old_token: str, token: str, life: float
) -> Outcome:
    """Replaces the session's token. BLOCKED, UNKNOWN and WRONG leave everything as it is."""
    now = timezone.now()
    session = Session.objects.select_for_update().filter(pk=instance_id).first()
    if session is None:
        return Outcome.UNKNOWN
    right = secrets.compare_digest(session.token_hash, _hash(old_token))
    if not right or session.expires_at <= now or not _belongs(credential, session):
        return Outcome.WRONG
    if is_blocked(instance_id):
        return Outcome.BLOCKED
    session.token_hash = _hash(token)
    session.kind = credential.kind
    session.licence_id = credential.licence_id
    session.installation_id = credential.installation_id
    session.expires_at = now + timedelta(seconds=life)
    session.save(
        update_fields=["token_hash", "kind", "licence_id", "installation_id", "expires_at"]
    )
    return Outcome.GRANTED


def _belongs(credential: Credential, session: Session) -> bool:
    """Whether this credential may continue the session: a stolen session token alone, with some
    licence of the thief's own, must not open another's instance. Whoever is refused registers
    fresh at once (relay-protocol section 6.3)."""
    if credential.kind == "lease":
        return instance_ids.of_host(credential.host) == session.instance_id
    bound = LicenceBinding.objects.filter(pk=credential.licence_id).first()
    if bound is not None:
        return bound.instance_id == session.instance_id
    same_licence = session.kind != "lease" and session.licence_id == credential.licence_id
    # A v5 licence exchanged for a grant gains an installation id; it never changes afterwards.
    return same_licence and session.installation_id in ("", credential.installation_id)


def is_blocked(instance_id: str) -> bool:
    return BlockedInstance.objects.filter(pk=instance_id).exists()


def blocked_among(instance_ids: Collection[str]) -> set[str]:
    """Those of the given instances that may not be reached."""
    found: set[str] = set()
    for batch in _batches(instance_ids):
        found.update(
            BlockedInstance.objects.filter(pk__in=batch).values_list("instance_id", flat=True)
        )
    return found


def tidy(live: Collection[str], *, life: float) -> None:
    """Keeps the sessions of connected instances from running out under them, and forgets those that
    ran out a day ago (until then a resume is told AUTH_FAILED, afterwards INSTANCE_NOT_FOUND)."""
    now = timezone.now()
    half = timedelta(seconds=life / 2)
    for batch in _batches(live):
        Session.objects.filter(pk__in=batch, expires_at__lt=now + half).update(
            expires_at=now + 2 * half
        )
    Session.objects.filter(expires_at__lt=now - timedelta(days=1)).delete()


def _batches(instance_ids: Collection[str]) -> Iterable[list[str]]:
    ordered = list(instance_ids)
    return (ordered[i : i + _BATCH] for i in range(0, len(ordered), _BATCH))


def _hash(token: str) -> str:
    """Session tokens have 256 random bits: a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).hexdigest()
