"""Single-use, expiring links: mailbox proofs, sign-in links, hand-offs (design section 6).

A page that a link leads to shows a button on GET and consumes on POST, because mail scanners and
chat previews follow links. Only the SHA-256 of a token is stored.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.utils import timezone

from tenants.models import Link, LinkPurpose, Organisation, User

_LONGEST = 128


class LinkRefused(Exception):
    """Unknown, used, expired, or made for something else; nobody is told which."""


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def mint(
    *,
    purpose: LinkPurpose,
    life: timedelta,
    user: User | None = None,
    organisation: Organisation | None = None,
    target: str = "",
    prefix: str = "",
) -> str:
    """A new token: 43 URL-safe characters, 256 bits, after `prefix`. This is the only time it can
    be read."""
    token = prefix + secrets.token_urlsafe(32)
    Link.objects.create(
        token_hash=digest(token),
        purpose=purpose,
        user=user,
        organisation=organisation,
        target=target,
        expires_at=timezone.now() + life,
    )
    return token


def peek(token: str, purpose: LinkPurpose) -> Link | None:
    """The link if it can still be used; changes nothing."""
    if len(token) > _LONGEST:
        return None
    return (
        Link.objects.select_related("user", "organisation")
        .filter(
            token_hash=digest(token),
            purpose=purpose,
            used_at=None,
            expires_at__gt=timezone.now(),
        )
        .first()
    )


def consume(token: str, purpose: LinkPurpose) -> Link:
    """Uses the link up; of any number of callers at once exactly one gets it.

    Inside a transaction that rolls back, the link was not used. Raises LinkRefused.
    """
    if len(token) > _LONGEST:
        raise LinkRefused
    now = timezone.now()
    claimed = Link.objects.filter(
        token_hash=digest(token), purpose=purpose, used_at=None, expires_at__gt=now
    ).update(used_at=now)
    if claimed != 1:
        raise LinkRefused
    return Link.objects.select_related("user", "organisation").get(token_hash=digest(token))


def prune(*, kept_for: timedelta = timedelta(days=1)) -> int:
    """Deletes links that expired more than `kept_for` ago; returns how many."""
    gone, _ = Link.objects.filter(expires_at__lt=timezone.now() - kept_for).delete()
    return gone
