"""Signing in by mail (hosted-contract sections 4.1 to 4.3): verbs.

A link works once, for 15 minutes, and only its hash is stored. What a mailbox asks for is limited
together with sign-ups, and whoever asks never learns what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from audit import trail
from audit.actors import Actor
from tenants import addresses, links, mail
from tenants.accounts import entry
from tenants.models import LinkPurpose, Organisation, State, User
from tenants.states import ENDED

PREFIX: Final = "ml1_"
_SHUT = (State.SUSPENDED, State.PENDING_DELETION)


@dataclass(frozen=True)
class Entrance:
    """Whom a link let in, to which organisation, and whether that one is shut."""

    user: User
    organisation: Organisation | None
    target: str

    @property
    def shut(self) -> bool:
        """Suspended or about to be deleted: nothing leads inside (H4)."""
        return self.organisation is not None and self.organisation.state in _SHUT


def request(*, email: str, target: str = "/", address: str = "") -> bool:
    """Mails a link to whom this mailbox belongs; False when there was nobody or too many asked.

    The caller of the public routes is not told. Staff get the address of the sign-in page: a
    mailbox alone must not open the staff pages. Call it outside a transaction. Raises
    addresses.PublicUrlMissing, with nothing done.
    """
    addresses.base()
    if not entry.mail_allowed(email):
        return False
    user = entry.find(email)
    if user is None or not user.is_active:
        return False
    with transaction.atomic():
        if user.is_staff:
            link = addresses.on_base(settings.LOGIN_URL)
        else:
            token = links.mint(
                purpose=LinkPurpose.MAGIC_LINK,
                user=user,
                target=entry.local_path(target),
                life=timedelta(minutes=entry.LINK_MINUTES),
                prefix=PREFIX,
            )
            link = addresses.on_base(f"/api/public/magic-link/verify?token={token}")
        mail.send_later(
            to=str(user.email),
            subject="Your sign-in link",
            template="sign_in",
            context={
                "link": link,
                "single_use": not user.is_staff,
                "minutes": entry.LINK_MINUTES,
                "asked": True,
            },
        )
        trail.record(
            action="magic_link_requested",
            actor=Actor.anonymous(),
            subject=str(user),
            path="/api/public/magic-link/request",
            address=address or None,
        )
    return True


def peek(token: str) -> User | None:
    """Whom a link would let in; changes nothing."""
    link = links.peek(token, LinkPurpose.MAGIC_LINK)
    return link.user if link and link.user and _may_enter(link.user) else None


def consume(token: str) -> Entrance:
    """Uses a link up. Raises links.LinkRefused, for closed accounts and staff too."""
    link = links.consume(token, LinkPurpose.MAGIC_LINK)
    if link.user is None or not _may_enter(link.user):
        raise links.LinkRefused
    organisation = entrance_of(link.user)
    target = link.target
    if target == "/" and organisation is not None:
        target = _way_to(link.user, organisation)
    return Entrance(link.user, organisation, target)


def _may_enter(user: User) -> bool:
    """Now: who was no member of staff when the link was mailed may be one when it is used."""
    return user.is_active and not user.is_staff


def entrance_of(user: User) -> Organisation | None:
    """The first organisation of a person, by id; one that is open goes before one that is not."""
    mine = list(
        Organisation.objects.filter(memberships__user=user).exclude(state__in=ENDED).order_by("pk")
    )
    return next((each for each in mine if each.state == State.ACTIVE), mine[0] if mine else None)


def _way_to(user: User, organisation: Organisation) -> str:
    """Into the only organisation of a person; who has several chooses."""
    others = user.memberships.exclude(organisation__state__in=ENDED)
    several = others.exclude(organisation=organisation).exists()
    shut = organisation.state in _SHUT
    return "/" if several and not shut else f"/o/{organisation.label}/"
