"""Invitations: seats in the beta (requirements A10). Only the SHA-256 of a token is stored.

For whoever has the link, for one address, or for the mailboxes of one mail domain. The last two
say who may come, and that they are who they say is proved by their mailbox before anything is set
up for them.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, locks, mail, mailboxes, signup_rules
from tenants.links import digest
from tenants.models import Invitation, User
from tenants.rollout import signups, stages

# What a token is shows in its first letters, so that the sign-up limit need not ask the database
# about every text that somebody sends.
PREFIX = "inv_"
CANARY_PREFIX = "canary_"
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


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
    domain: str = "",
    canary: bool = False,
    note: str = "",
    seats: int = 1,
    days: int = 14,
    send: bool = False,
    batch: str = "",
    created_by: User | None = None,
) -> Invited:
    """Makes an invitation for `seats` sign-ups within `days`; bound to `email`, or to the mailboxes
    of `domain`, when given. A domain's subdomains are others. `batch` names what it came with.

    With `send` the link is mailed to `email` and shown to nobody, so that whoever redeems it by
    POST has proved the mailbox. A canary's invitation counts as mailed: it is minted on the
    command line for an address that the proof made up.
    Raises InvalidInvitation, and addresses.PublicUrlMissing with `send`.
    """
    email = _clean_email(email) if email.strip() else ""
    domain = clean_domain(domain) if domain.strip() else ""
    if email and domain:
        raise InvalidInvitation("An invitation is for an address or for a domain, not for both.")
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
            domain=domain,
            batch=batch,
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
            after={
                "email": email,
                "domain": domain,
                "batch": batch,
                "canary": canary,
                "seats": seats,
                "days": days,
                "sent": send,
            },
        )
    return invited


def waits_for(email: str) -> bool:
    """Whether a mailbox has an invitation that can still be used. Inside a transaction: who asks
    for the same mailbox meanwhile waits until that has ended, so a form sent twice invites once."""
    locks.wait(f"invitation:{mailboxes.key(email)}")
    return Invitation.objects.filter(is_open(), email__iexact=email.strip(), canary=False).exists()


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
                before={"revoked": False, "used": invitation.used, "seats": invitation.seats},
                after={"revoked": True},
            )
    return bool(revoked)


def revoke_batch(*, batch: str, actor: Actor, reason: str = "") -> int:
    """Ends what can still be used of an upload; says how many that were. All or none."""
    with transaction.atomic():
        living = Invitation.objects.filter(is_open(), batch=batch).exclude(batch="").order_by("pk")
        return sum(revoke(invitation=each, actor=actor, reason=reason) for each in living)


def clean_domain(text: str) -> str:
    """A mail domain as it is stored: lower case, without the @. Raises InvalidInvitation."""
    domain = text.strip().removeprefix("@")
    # Before lower(), which turns the Kelvin sign into k: a look-alike must not become the domain.
    if not domain.isascii() or not _DOMAIN.fullmatch(domain := domain.lower()):
        raise InvalidInvitation("Give a mail domain such as example.com.")
    return domain


def _clean_email(text: str) -> str:
    """By the rules of a sign-up: one for what no sign-up may say could be used by nobody."""
    try:
        return signup_rules.clean_email(text)
    except signup_rules.InvalidSignup as invalid:
        raise InvalidInvitation(invalid.message) from None


def find(token: str) -> Invitation | None:
    """An invitation that would let somebody in now; changes nothing."""
    if not token.startswith((PREFIX, CANARY_PREFIX)) or len(token) > 100:
        return None
    return Invitation.objects.filter(is_open(), token_hash=digest(token)).first()


def redeem(*, token: str, email: str) -> Invitation:
    """Takes one seat for `email`, inside the caller's transaction.

    A conditional UPDATE: of any number of callers at once only as many get a seat as there are.
    Raises InvitationRefused.
    """
    if not token.startswith((PREFIX, CANARY_PREFIX)) or len(token) > 100:
        raise InvitationRefused
    taken = Invitation.objects.filter(is_open(), _is_for(email), token_hash=digest(token)).update(
        used=F("used") + 1
    )
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
    """Whether the rollout stage lets nobody in without an invitation."""
    return stages.current() in signups.INVITE_ONLY


def is_open() -> Q:
    """Rows that would let somebody in now."""
    return Q(revoked_at=None, expires_at__gt=timezone.now(), used__lt=F("seats"))


def _is_for(email: str) -> Q:
    """Bound to nobody, to this mailbox, or to its domain."""
    _, _, domain = mailboxes.key(email).rpartition("@")
    bound = Q(email="", domain="") | (Q(email__iexact=email) & ~Q(email=""))
    return bound | Q(email="", domain=domain) if domain else bound
