"""Asking people into an organisation (hosted-contract section 9.2, F70).

An invitation goes to a mailbox, and only a person who proved that very mailbox can accept it: by
its mailed link, or signed in with that address. It works once, until it expires, is declined or
revoked; sent again it gets a new link, and the old one is dead. Only the SHA-256 of a link's token
is stored. Whether an address has an account shows nowhere. Whoever sent it last stands behind it
(`tenants.people.backing`): it works only while they may give its role.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower, Upper
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, mail, mailboxes, signup_rules
from tenants.accounts import entry
from tenants.http.problems import Problem
from tenants.links import digest
from tenants.models import MemberInvitation, Membership, Organisation, State, User
from tenants.people import backing, membership
from tenants.people import invitation_pace as pace

PREFIX: Final = "join_"
MOST_OPEN: Final = 100  # of one organisation, expired ones that nobody revoked included


def invite(
    *, organisation: Organisation, email: str, role: str, actor: Actor, by: User, reason: str = ""
) -> MemberInvitation:
    """Invites a mailbox; one that was invited already gets this role, and a fresh mail unless the
    last is less than `invitation_pace.PAUSE` old. Call it outside a transaction.

    Raises Problem 400 `invalid_user`, `invalid_role`; 403 `forbidden`, `escalation_denied`; 409
    `already_member`, `org_not_active`, `too_many_open_invitations`; 429 `too_many_invitations`,
    `too_many_mails`; 503 `public_url_missing`.
    """
    role = membership.given_role(role)
    email = mailbox(email)
    wanted = MemberInvitation(organisation=organisation, email=email, role=role)
    with backing.audited("member_invited", wanted, actor):
        # Before anything is counted; what counts is the answer under the lock.
        backing.require(organisation=organisation, role=role, by=by.pk)
        return _invite(organisation, email, role, actor, by, reason)


def _invite(
    organisation: Organisation, email: str, role: str, actor: Actor, by: User, reason: str
) -> MemberInvitation:
    found = to(email, _unclosed(organisation)).first()
    pace.count(organisation, email if found is None or pace.may_mail(found) else "")
    with transaction.atomic():
        organisation = membership.active(organisation)
        backing.require(organisation=organisation, role=role, by=by.pk)
        if organisation.memberships.filter(user__email=mailboxes.key(email)).exists():
            raise Problem(409, "already_member", f"{email} is a member already.")
        invitation = to(email, _unclosed(organisation)).first()
        if invitation is None:
            if _unclosed(organisation).count() >= MOST_OPEN:
                raise Problem(
                    409,
                    "too_many_open_invitations",
                    f"{MOST_OPEN} invitations are open. Revoke some that are not needed any more.",
                )
            invitation = MemberInvitation(organisation=organisation, email=email, sends=0)
        before = {} if invitation.sends == 0 else {"role": invitation.role}
        invitation.role, invitation.invited_by = role, by
        _renew(invitation, mail_it=invitation.sends == 0 or pace.may_mail(invitation))
        _record("member_invited", invitation, actor, reason, before=before)
    return invitation


def resend(*, invitation: MemberInvitation, actor: Actor, reason: str = "") -> MemberInvitation:
    """Mails it again with a new link and a new time; a person who does so stands behind it from
    then on. Call it outside a transaction.

    Raises as `invite` does, and Problem 404 `invitation_not_found`; 429 `sent_recently`.
    """
    by = UUID(actor.id) if actor.kind == "person" else invitation.invited_by_id
    with backing.audited("member_invitation_resent", invitation, actor):
        backing.require(organisation=invitation.organisation, role=invitation.role, by=by)
        return _resend(invitation, actor, by, reason)


def _resend(
    invitation: MemberInvitation, actor: Actor, by: UUID | None, reason: str
) -> MemberInvitation:
    if not pace.may_mail(invitation):
        raise pace.sent_recently()
    pace.count(invitation.organisation, invitation.email)
    with transaction.atomic():
        organisation = membership.active(invitation.organisation)
        current = _unclosed(organisation).filter(pk=invitation.pk).first()
        if current is None:
            raise not_found()
        backing.require(organisation=organisation, role=current.role, by=by)
        if not pace.may_mail(current):
            raise pace.sent_recently()
        current.invited_by_id = by
        _renew(current, mail_it=True)
        _record("member_invitation_resent", current, actor, reason)
    return current


def revoke(*, invitation: MemberInvitation, actor: Actor, reason: str = "") -> None:
    """Ends it; its link is dead. Raises Problem 404 `invitation_not_found`, 409 `org_not_active`."""
    with transaction.atomic():
        organisation = membership.active(invitation.organisation)
        if not _unclosed(organisation).filter(pk=invitation.pk).update(revoked_at=timezone.now()):
            raise not_found()
        _record("member_invitation_revoked", invitation, actor, reason)


def accept(
    *, invitation: MemberInvitation, user: User, actor: Actor, reason: str = ""
) -> Membership:
    """The person joins; of any number who try at once, one time only.

    Raises Problem 403 `mailbox_not_proved`, 404 `invitation_not_found` also for other people's and
    while its sender may not give its role, 409 `org_not_active`.
    """
    if user.email_verified_at is None:
        raise mailbox_not_proved()
    with _unusable_without_backing(invitation, actor):
        return _accept(invitation, user, actor, reason)


def _accept(invitation: MemberInvitation, user: User, actor: Actor, reason: str = "") -> Membership:
    with transaction.atomic():
        organisation = membership.active(invitation.organisation)
        if not mailboxes.same(invitation.email, user.email):
            raise not_found()
        claimed = MemberInvitation.objects.filter(
            _open(),
            organisation=organisation,
            pk=invitation.pk,
            token_hash=invitation.token_hash,
        ).update(accepted_at=timezone.now(), accepted_by=user)
        if claimed != 1 or not user.is_active:
            raise not_found()
        invitation.refresh_from_db()
        by = invitation.invited_by_id
        backing.require(organisation=organisation, role=invitation.role, by=by)
        joined = membership.add(
            organisation=organisation,
            user=user,
            role=invitation.role,
            actor=actor,
            reason=reason or f"invitation {invitation.pk}",
        )
    return joined


def decline(*, invitation: MemberInvitation, actor: Actor, reason: str = "") -> None:
    """Ends it on behalf of whom it was sent to. Raises Problem 404 `invitation_not_found`."""
    with transaction.atomic():
        declined = MemberInvitation.objects.filter(_open(), pk=invitation.pk).update(
            declined_at=timezone.now()
        )
        if not declined:
            raise not_found()
        _record("member_invitation_declined", invitation, actor, reason)


def join(*, token: str) -> tuple[User, Membership]:
    """Accepts by the mailed link, which proves the mailbox; makes the account when there is none.

    The caller signs the person in. Raises Problem 404 `invitation_not_found`, 409 `org_not_active`.
    """
    invitation = find(token)
    if invitation is None:
        raise not_found()
    # Refused, there may be no account: who came by the link is nobody then.
    with _unusable_without_backing(invitation, Actor.anonymous()), transaction.atomic():
        try:
            user = entry.find_or_create_proved(invitation.email)
        except ValidationError:
            raise not_found() from None
        joined = _accept(invitation, user, Actor.person(user))
    return user, joined


def find(token: str) -> MemberInvitation | None:
    """What a mailed link leads to, while it can be used; changes nothing."""
    if not token.startswith(PREFIX) or len(token) > 100:
        return None
    found = MemberInvitation.objects.filter(
        _open(), token_hash=digest(token), organisation__state=State.ACTIVE
    )
    return found.select_related("organisation", "invited_by").first()


def of_person(user: User) -> QuerySet[MemberInvitation]:
    """The invitations that this person could accept now, newest first."""
    if not user.email or user.email_verified_at is None:
        return MemberInvitation.objects.none()
    mine = to(user.email, MemberInvitation.objects.filter(_open()))
    return mine.filter(organisation__state=State.ACTIVE).select_related(
        "organisation", "invited_by"
    )


def to(email: str, among: QuerySet[MemberInvitation]) -> QuerySet[MemberInvitation]:
    """Those of them that go to this mailbox. No letter beyond ASCII folds to the same both ways."""
    key = mailboxes.key(email)
    both_ways = among.alias(lower=Lower("email"), upper=Upper("email"))
    return both_ways.filter(lower=key, upper=key.upper())


def of_organisation(organisation: Organisation) -> QuerySet[MemberInvitation]:
    """Those that nobody accepted, declined or revoked, expired ones included, newest first."""
    return _unclosed(organisation).select_related("invited_by")


@contextmanager
def _unusable_without_backing(invitation: MemberInvitation, actor: Actor) -> Iterator[None]:
    """Around the transaction: who is invited learns no more than that it cannot be used, and the
    trail says why."""
    try:
        with backing.audited("member_invitation_accepted", invitation, actor):
            yield
    except Problem as problem:
        if problem.status != 403:
            raise
        raise not_found() from None


def not_found() -> Problem:
    return Problem(404, "invitation_not_found", "There is no such invitation.")


def mailbox_not_proved() -> Problem:
    return Problem(
        403, "mailbox_not_proved", "Confirm your email address first: open the mailed link."
    )


def mailbox(email: str) -> str:
    """Raises Problem 400 `invalid_user` for what is no address."""
    try:
        return signup_rules.clean_email(email)
    except signup_rules.InvalidSignup as invalid:
        raise Problem(400, "invalid_user", invalid.message) from None


def _unclosed(organisation: Organisation) -> QuerySet[MemberInvitation]:
    return MemberInvitation.objects.filter(
        organisation=organisation, accepted_at=None, declined_at=None, revoked_at=None
    )


def _open() -> Q:
    return Q(accepted_at=None, declined_at=None, revoked_at=None, expires_at__gt=timezone.now())


def _renew(invitation: MemberInvitation, *, mail_it: bool) -> None:
    """Saves it; with a mail it gets a new token and its whole life again."""
    if mail_it:
        now = timezone.now()
        token = PREFIX + secrets.token_urlsafe(32)
        invitation.token_hash = digest(token)
        invitation.sent_at, invitation.sends = now, invitation.sends + 1
        invitation.expires_at = now + timedelta(seconds=settings.MEMBER_INVITATION_LIFE)
        mail.send_later(
            to=invitation.email,
            subject=f"Join {invitation.organisation.display_name} on PulseCloud",
            template="member_invitation",
            context={"invitation": invitation, "link": addresses.on_base(f"/join/{token}")},
        )
    invitation.save()


def _record(
    action: str,
    invitation: MemberInvitation,
    actor: Actor,
    reason: str,
    *,
    before: dict[str, Any] | None = None,
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=invitation.organisation_id,
        subject=f"invitation {invitation.pk}",
        reason=reason,
        before=before or None,
        after={"email": invitation.email, "role": invitation.role, "sends": invitation.sends},
    )
