"""Invitations: seats in the beta (requirements A10). Only the SHA-256 of a token is stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, mail, mailboxes
from tenants.links import digest
from tenants.models import Invitation, Rollout, Stage, User

# What a token is shows in its first letters, so that the sign-up limit need not ask the database
# about every text that somebody sends.
PREFIX = "inv_"
CANARY_PREFIX = "canary_"


class InvitationRefused(Exception):
    """Unknown, expired, revoked, used up, or for another address; nobody is told which."""


class InvalidInvitation(ValueError):
    """An invitation that cannot be made; the text says why."""


@dataclass(frozen=True)
class Invited:
    """A fresh invitation and its token, which cannot be read again."""

    invitation: Invitation
    token: str

    @property
    def link(self) -> str:
        """Raises addresses.PublicUrlMissing."""
        return addresses.on_base(f"/signup?invitation={self.token}")


def invite(
    *,
    actor: Actor,
    reason: str = "",
    email: str = "",
    canary: bool = False,
    note: str = "",
    seats: int = 1,
    days: int = 14,
    send: bool = False,
    created_by: User | None = None,
) -> Invited:
    """Makes an invitation for `seats` sign-ups within `days`; bound to `email` when given.

    With `send` the link is mailed to `email` and shown to nobody, so that whoever redeems it by
    POST has proved the mailbox. A canary's invitation counts as mailed: it is minted on the
    command line for an address that the proof made up.
    Raises InvalidInvitation, and addresses.PublicUrlMissing with `send`.
    """
    email = email.strip()
    if not email.isascii():
        raise InvalidInvitation(mailboxes.NOT_ASCII)
    if (canary or send) and not email:
        raise InvalidInvitation("An invitation that proves a mailbox needs an address.")
    if (canary or send) and seats != 1:
        raise InvalidInvitation("An invitation that proves a mailbox has one seat.")
    if not 1 <= seats <= 10_000:
        raise InvalidInvitation("Seats must lie between 1 and 10,000.")
    if not 1 <= days <= 365:
        raise InvalidInvitation("Days must lie between 1 and 365.")
    token = (CANARY_PREFIX if canary else PREFIX) + secrets.token_urlsafe(32)
    now = timezone.now()
    with transaction.atomic():
        invitation = Invitation.objects.create(
            token_hash=digest(token),
            email=email,
            canary=canary,
            note=note[:200],
            seats=seats,
            created_by=created_by,
            mailed_at=now if canary or send else None,
            expires_at=now + timedelta(days=days),
        )
        invited = Invited(invitation, token)
        if send:
            mail.send_later(
                to=email,
                subject="Your invitation to PulseCloud",
                template="invitation",
                context={"link": invited.link, "expires_at": invitation.expires_at},
            )
        trail.record(
            action="invitation_created",
            actor=actor,
            subject=str(invitation.pk),
            reason=reason,
            after={"email": email, "canary": canary, "seats": seats, "days": days, "sent": send},
        )
    return invited


def revoke(*, invitation: Invitation, actor: Actor, reason: str = "") -> bool:
    """Ends an invitation; seats already taken stay taken. False when it was revoked before."""
    with transaction.atomic():
        revoked = Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if revoked:
            trail.record(
                action="invitation_revoked",
                actor=actor,
                subject=str(invitation.pk),
                reason=reason,
                before={"used": invitation.used, "seats": invitation.seats},
            )
    return bool(revoked)


def find(token: str) -> Invitation | None:
    """An invitation that would let somebody in now; changes nothing."""
    if not token.startswith((PREFIX, CANARY_PREFIX)) or len(token) > 100:
        return None
    return Invitation.objects.filter(_open(), token_hash=digest(token)).first()


def redeem(*, token: str, email: str) -> Invitation:
    """Takes one seat for `email`, inside the caller's transaction.

    A conditional UPDATE: of any number of callers at once only as many get a seat as there are.
    Raises InvitationRefused.
    """
    if not token.startswith((PREFIX, CANARY_PREFIX)) or len(token) > 100:
        raise InvitationRefused
    taken = Invitation.objects.filter(
        _open(), Q(email="") | Q(email__iexact=email), token_hash=digest(token)
    ).update(used=F("used") + 1)
    if taken != 1:
        raise InvitationRefused
    return Invitation.objects.get(token_hash=digest(token))


def release(invitation: Invitation) -> None:
    """Gives a seat back: the request that took it was never proved."""
    Invitation.objects.filter(pk=invitation.pk, used__gt=0).update(used=F("used") - 1)


def proves_mailbox(invitation: Invitation, email: str) -> bool:
    """Whether whoever redeems it can only have its token from this mailbox."""
    return bool(invitation.mailed_at and mailboxes.same(invitation.email, email))


def exempt_from_limits(token: str) -> bool:
    """Canary invitations let their one sign-up past the limits per address and mailbox."""
    if not token.startswith(CANARY_PREFIX):
        return False
    invitation = find(token)
    return invitation is not None and invitation.canary


def needed() -> bool:
    """Whether the rollout stage lets nobody in without an invitation.

    Without a stored stage it is the private beta.
    """
    stored = Rollout.objects.filter(pk=1).values_list("stage", flat=True).first()
    return (stored or Stage.PRIVATE_BETA) in (Stage.DEV, Stage.PRIVATE_BETA)


def _open() -> Q:
    return Q(revoked_at=None, expires_at__gt=timezone.now(), used__lt=F("seats"))
