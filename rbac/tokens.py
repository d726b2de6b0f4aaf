"""API tokens: 64 hex digits shown once, their SHA-256 kept (design section 6)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Exists, Func, OuterRef, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from rbac import mobile, token_escalation
from rbac.models import ApiToken
from tenants import locks, notify
from tenants.http.problems import Problem
from tenants.models import Membership, Organisation, User
from tenants.reads import Read
from tenants.schemas import SchemaMissing, in_schema

_SECRET = re.compile(r"[0-9a-f]{64}")
PREFIX = 8  # hex digits that find the row; the other 224 bits stay unknown to who reads the table
TOUCH_EVERY = timedelta(minutes=1)
LONGEST: Final = timedelta(days=365)  # life of a token that is made with an end
# Living ones, phones and others counted apart: more is a script that forgot to use its first one.
PER_PERSON: Final = 100
# Gets a token as it is, locked, and may refuse to have it changed (If-Match).
Expecting = Callable[[ApiToken], None]


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

    With `unused_for` it dies when that time passes before it is used once. Raises Problem 403
    `escalation_denied` for a scope beyond what `user` may do (asked by people and tokens; software
    acting by itself is not asked), 409 `too_many_tokens`.
    """
    secret = secrets.token_hex(32)
    now = timezone.now()
    if actor.kind != "system":
        token_escalation.refuse(organisation, user, scopes, actor)
    with transaction.atomic(), in_schema(organisation):
        locks.wait(f"tokens:{organisation.pk}:{user.pk}")
        kind = mobile.PURPOSE if purpose else ""
        if living(purpose=kind, user=user.pk).count() >= PER_PERSON:
            raise Problem(
                409,
                "too_many_tokens",
                f"You have {PER_PERSON} already. Remove those that nobody uses.",
            )
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
            return _live(secret) is not None
    except SchemaMissing:
        if organisation.provisioned_at is not None:
            raise
        return False


def revoke(
    organisation: Organisation,
    token_id: UUID,
    *,
    actor: Actor,
    reason: str = "",
    expecting: Expecting | None = None,
) -> ApiToken:
    """Ends a token at once, its live channels too. Raises TokenMissing; twice does nothing."""
    with transaction.atomic(), in_schema(organisation):
        token = _locked(token_id)
        if expecting is not None:
            expecting(token)
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            _record("token_revoked", organisation, token, actor, reason)
            notify.notify(notify.RUNTIME, organisation.pk)
    return token


def rename(
    organisation: Organisation,
    token_id: UUID,
    *,
    name: str,
    actor: Actor,
    expecting: Expecting | None = None,
) -> ApiToken:
    """Gives a living token another name. Raises TokenMissing, for ended ones too."""
    with transaction.atomic(), in_schema(organisation):
        token = _locked(token_id)
        if expecting is not None:
            expecting(token)
        if not living().filter(pk=token_id).exists():
            raise TokenMissing(str(token_id))
        before, token.name = token.name, name[:120]
        if token.name != before:
            token.save(update_fields=["name"])
            _record("token_renamed", organisation, token, actor, before={"name": before})
    return token


def living(*, purpose: str | None = None, user: UUID | None = None) -> QuerySet[ApiToken]:
    """The live tokens of the current schema, of that purpose (empty: no phones) and person."""
    rows = ApiToken.objects.filter(_alive(), _of_a_member())
    if purpose is not None:
        rows = rows.filter(purpose=purpose)
    return rows if user is None else rows.filter(user=user)


def listed(*, purpose: str | None = None) -> list[ApiToken]:
    """The same as a list, newest first."""
    return list(living(purpose=purpose).order_by("-created_at", "pk"))


def forget(*, ended_before: datetime) -> int:
    """Deletes tokens of the current schema that ended before that time; returns how many.

    What they were stays in the audit trail.
    """
    gone, _ = ApiToken.objects.filter(
        Q(revoked_at__lt=ended_before)
        | Q(expires_at__lt=ended_before)
        | Q(last_used_at__isnull=True, unused_expires_at__lt=ended_before)
    ).delete()
    return gone


def is_living(token: ApiToken) -> bool:
    """As far as the row tells; its person's membership is another matter."""
    now = timezone.now()
    return (
        token.revoked_at is None
        and (token.expires_at is None or token.expires_at > now)
        and (
            token.unused_expires_at is None
            or token.last_used_at is not None
            or token.unused_expires_at > now
        )
    )


def public_record(token: ApiToken) -> dict[str, Any]:
    """What may be shown of a token; never the secret or its hash. Times are RFC 3339 in UTC."""
    return {
        "id": str(token.pk),
        "name": token.name,
        "prefix": token.prefix,
        "scopes": token.scopes,
        "metadata": {"purpose": token.purpose} if token.purpose else {},
        "userId": str(token.user),
        "createdAt": _time(token.created_at),
        "expiresAt": _time(token.expires_at),
        "unusedExpiresAt": None if token.last_used_at else _time(token.unused_expires_at),
        "lastUsedAt": _time(token.last_used_at),
        "revokedAt": _time(token.revoked_at),
    }


def _locked(token_id: UUID) -> ApiToken:
    token = ApiToken.objects.select_for_update().filter(pk=token_id).first()
    if token is None:
        raise TokenMissing(str(token_id))
    return token


def _live(secret: str) -> ApiToken | None:
    """Living, and its person still an active member: one query."""
    if not _SECRET.fullmatch(secret):
        return None
    hashed = _hash(secret)
    for token in _LIVE.all(prefix=secret[:PREFIX], now=timezone.now()):
        if hmac.compare_digest(token.token_hash, hashed):
            return token
    return None


def _alive(now: datetime | None = None) -> Q:
    now = now or timezone.now()
    return (
        Q(revoked_at__isnull=True)
        & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        & (
            Q(unused_expires_at__isnull=True)
            | Q(last_used_at__isnull=False)
            | Q(unused_expires_at__gt=now)
        )
    )


def _of_a_member() -> Exists:
    """Of the organisation whose schema this is: a token dies with its person's membership.

    One that was made while its person was being removed stays dead when they join again: then
    their membership is younger than it.
    """
    here = Cast(Func(function="current_schema", output_field=CharField()), CharField())
    members = Membership.objects.filter(
        user=OuterRef("user"),
        user__is_active=True,
        organisation__schema_name=here,
        added_at__lte=OuterRef("created_at"),
    )
    return Exists(members)


_LIVE = Read(
    lambda prefix, now: ApiToken.objects.filter(_alive(now), _of_a_member(), prefix=prefix),
    prefix="0" * PREFIX,
    now=datetime(2000, 1, 1, tzinfo=UTC),
)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def _record(
    action: str,
    organisation: Organisation,
    token: ApiToken,
    actor: Actor,
    reason: str = "",
    before: dict[str, Any] | None = None,
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=organisation.pk,
        subject=f"token {token.pk}",
        reason=reason,
        before=before,
        after={"name": token.name, "scopes": token.scopes, "user": token.user},
    )
