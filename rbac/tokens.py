"""API tokens: 64 hex digits shown once, their SHA-256 kept (design section 6)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from rbac.models import ApiToken
from tenants import notify
from tenants.models import Membership, Organisation, User
from tenants.schemas import SchemaMissing, in_schema

_SECRET = re.compile(r"[0-9a-f]{64}")
PREFIX = 8  # hex digits that find the row; the other 224 bits stay unknown to who reads the table
TOUCH_EVERY = timedelta(minutes=1)


class TokenMissing(Exception):
    """This organisation has no such token."""


def issue(
    organisation: Organisation,
    *,
    user: User,
    name: str,
    scopes: Sequence[str],
    purpose: str = "",
    expires_at: datetime | None = None,
    unused_for: timedelta | None = None,
    actor: Actor,
) -> tuple[ApiToken, str]:
    """A new token that acts for `user`, and its secret, which is stored nowhere.

    With `unused_for` it dies when that time passes before it is used once.
    """
    secret = secrets.token_hex(32)
    now = timezone.now()
    with transaction.atomic(), in_schema(organisation):
        token = ApiToken.objects.create(
            name=name[:120],
            prefix=secret[:PREFIX],
            token_hash=_hash(secret),
            user=user.pk,
            scopes=list(scopes),
            purpose=purpose,
            expires_at=expires_at,
            unused_expires_at=None if unused_for is None else now + unused_for,
        )
        _record("token_issued", organisation, token, actor)
    return token, secret


def find(secret: str) -> ApiToken | None:
    """The live token with this secret in the current schema; notes, once a minute, its use."""
    token = _live(secret)
    if token is None:
        return None
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - TOUCH_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def peek(secret: str) -> ApiToken | None:
    """As `find`, without counting as use: showing a pairing code must not keep its token alive."""
    return _live(secret)


def is_valid(organisation: Organisation, secret: str) -> bool:
    """Whether a phone may connect with this token now; does not count as use.

    False once the token, its person or their membership is gone. Raises DatabaseError and
    SchemaError when that cannot be known: the runtime must not answer those with AUTH_FAILED.
    """
    try:
        with in_schema(organisation):
            token = _live(secret)
    except SchemaMissing:
        if organisation.provisioned_at is not None:
            raise
        return False
    return (
        token is not None
        and Membership.objects.filter(
            organisation=organisation, user=token.user, user__is_active=True
        ).exists()
    )


def revoke(
    organisation: Organisation, token_id: UUID, *, actor: Actor, reason: str = ""
) -> ApiToken:
    """Ends a token at once, its live channels too. Raises TokenMissing; twice does nothing."""
    with transaction.atomic(), in_schema(organisation):
        token = ApiToken.objects.select_for_update().filter(pk=token_id).first()
        if token is None:
            raise TokenMissing(str(token_id))
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            _record("token_revoked", organisation, token, actor, reason)
            notify.notify(notify.RUNTIME, organisation.pk)
    return token


def listed(*, purpose: str | None = None) -> list[ApiToken]:
    """The live tokens of the current schema, newest first."""
    tokens = ApiToken.objects.filter(_alive()).order_by("-created_at")
    return list(tokens if purpose is None else tokens.filter(purpose=purpose))


def public_record(token: ApiToken) -> dict[str, Any]:
    """What may be shown of a token; never the secret or its hash. Times are RFC 3339 in UTC."""
    return {
        "id": str(token.pk),
        "name": token.name,
        "prefix": token.prefix,
        "scopes": token.scopes,
        "metadata": {"purpose": token.purpose} if token.purpose else {},
        "createdAt": _time(token.created_at),
        "expiresAt": _time(token.expires_at),
        "unusedExpiresAt": None if token.last_used_at else _time(token.unused_expires_at),
        "lastUsedAt": _time(token.last_used_at),
    }


def _live(secret: str) -> ApiToken | None:
    if not _SECRET.fullmatch(secret):
        return None
    hashed = _hash(secret)
    for token in ApiToken.objects.filter(_alive(), prefix=secret[:PREFIX]):
        if hmac.compare_digest(token.token_hash, hashed):
            return token
    return None


def _alive() -> Q:
    now = timezone.now()
    return (
        Q(revoked_at__isnull=True)
        & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        & (
            Q(unused_expires_at__isnull=True)
            | Q(last_used_at__isnull=False)
            | Q(unused_expires_at__gt=now)
        )
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _record(
    action: str, organisation: Organisation, token: ApiToken, actor: Actor, reason: str = ""
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=organisation.pk,
        subject=f"token {token.pk}",
        reason=reason,
        after={"name": token.name, "scopes": token.scopes, "user": token.user},
    )
