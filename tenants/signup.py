"""Sign-up: from a request to a proved mailbox (hosted-contract section 3, design section 1).

Nothing is provisioned before the mailbox is proved. A request holds its label meanwhile, and
expires when it is never proved. Repeating a sign-up never touches an organisation that is there
(H1): the mailbox gets a sign-in link, nothing else happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import (
    addresses,
    hosts,
    invitations,
    links,
    mail,
    metrics,
    provisioning,
    schemas,
    signup_rules,
)
from tenants.accounts import entry
from tenants.models import (
    Domain,
    Invitation,
    LinkPurpose,
    MemberRole,
    Membership,
    Organisation,
    State,
    User,
)
from tenants.rollout import signups
from tenants.states import TransitionRefused, locked, move

log = structlog.get_logger(__name__)


class Effect(Enum):
    """What a sign-up did; the caller of the public routes is not told."""

    NOTHING = "nothing"
    SIGN_IN_MAILED = "sign-in link mailed"
    PROOF_MAILED = "mailbox proof mailed"
    PROVED = "mailbox proved"


@dataclass(frozen=True)
class Outcome:
    """`user` and `organisation` are set when the mailbox was proved by the request itself."""

    effect: Effect
    organisation: Organisation | None = None
    user: User | None = None


_NOTHING = Outcome(Effect.NOTHING)


def sign_up(request: signup_rules.Request, *, address: str = "") -> Outcome:
    """Does what a sign-up deserves. Call it outside a transaction.

    Raises signups.SignupsClosed and addresses.PublicUrlMissing, with nothing done. Both say the
    same to everybody at that moment.
    """
    exempt = invitations.exempt_from_limits(request.invitation)
    if not exempt and (closed := signups.refusal()):
        raise closed
    if not exempt and not entry.mail_allowed(request.email):
        return _NOTHING
    addresses.base()
    with transaction.atomic():
        entry.lock_mailbox(request.email)
        user = entry.find(request.email)
        if user is not None and not user.is_active:
            return _NOTHING
        if user is not None and entry.owned_by(user) is not None:
            mail_sign_in(user)
            return Outcome(Effect.SIGN_IN_MAILED)
        seat = _take_seat(request)
        if seat is None and invitations.needed():
            return _NOTHING
        organisation = request_organisation(
            email=request.email,
            org_name=request.org_name,
            host_label=request.host_label,
            invitation=seat,
            address=address,
        )
        if seat is not None and invitations.proves_mailbox(seat, request.email):
            if not organisation.canary:
                signups.admit(invited=True)
            return Outcome(Effect.PROVED, organisation, prove_mailbox(organisation))
        _mail_proof(organisation)
        return Outcome(Effect.PROOF_MAILED)


def request_organisation(
    *,
    email: str,
    org_name: str,
    host_label: str | None = None,
    invitation: Invitation | None = None,
    address: str = "",
) -> Organisation:
    """An organisation that is only asked for: its label is held, nothing else exists.

    A label that is taken or reserved gets a suffix, whoever chose it: an answer that told would
    tell who is a customer.
    """
    canary = invitation is not None and invitation.canary
    request = signup_rules.Request(email, org_name, host_label)
    with transaction.atomic():
        organisation = _first_free(request, canary, invitation)
        trail.record(
            action="org_requested",
            actor=Actor.anonymous(),
            organisation=organisation.pk,
            subject=organisation.label,
            after={
                "email": email,
                "canary": canary,
                "invitation_id": invitation.pk if invitation else None,
            },
            address=address or None,
        )
        transaction.on_commit(metrics.signed_up)
    return organisation


def prove_mailbox(organisation: Organisation, *, actor: Actor | None = None) -> User:
    """The mailbox is proved: makes its person the owner and has the organisation provisioned.

    If the mailbox came to own another organisation meanwhile, the request expires instead (H1).
    Raises states.TransitionRefused unless the organisation is requested and its person's account
    is open.
    """
    with transaction.atomic():
        entry.lock_mailbox(organisation.owner_email)
        organisation = locked(organisation)
        if organisation.state != State.REQUESTED:
            raise TransitionRefused("not_requested", "This request is over.")
        try:
            user = entry.find_or_create_proved(organisation.owner_email)
        except ValidationError:
            raise TransitionRefused("invalid_email", "No account has such an address.") from None
        if not user.is_active:
            raise TransitionRefused("account_closed", "This account is closed.")
        who = actor or Actor.person(user)
        if entry.owned_by(user) is not None:
            expire(organisation=organisation, actor=who, reason="the mailbox owns one already")
            return user
        move(organisation, State.PROVISIONING)
        organisation.mailbox_proved_at = timezone.now()
        organisation.save()
        Membership.objects.create(organisation=organisation, user=user, role=MemberRole.OWNER)
        Domain.objects.create(domain=organisation.instance_host, tenant=organisation)
        for other in Organisation.objects.filter(
            state=State.REQUESTED, owner_email__iexact=organisation.owner_email
        ):
            expire(organisation=other, actor=who, reason="another request was proved")
        trail.record(
            action="org_mailbox_proved",
            actor=who,
            organisation=organisation.pk,
            subject=organisation.label,
            before={"state": State.REQUESTED},
            after={"state": organisation.state},
        )
        provisioning.start(organisation)
    return user


def prove_by_link(token: str) -> User:
    """The same by the link in the mail, which is used up by it.

    Raises links.LinkRefused, and signups.SignupsClosed, after which the link is as good as before.
    """
    try:
        with transaction.atomic():
            link = links.consume(token, LinkPurpose.VERIFY_MAILBOX)
            if link.organisation is None:
                raise links.LinkRefused
            if not link.organisation.canary:
                # The mailbox first, as a sign-up does: two orders of locks would wait in a ring.
                entry.lock_mailbox(link.organisation.owner_email)
                signups.admit(invited=link.organisation.invitation_id is not None)
            return prove_mailbox(link.organisation)
    except TransitionRefused:
        raise links.LinkRefused from None


def expire(*, organisation: Organisation, actor: Actor, reason: str = "") -> bool:
    """Ends a request that was never proved: label and seat are free again.

    False when it is no request any more.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        if organisation.state != State.REQUESTED:
            return False
        move(organisation, State.EXPIRED)
        seat, organisation.invitation = organisation.invitation, None
        organisation.save()
        organisation.links.all().delete()
        if seat is not None:
            invitations.release(seat)
        trail.record(
            action="org_request_expired",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
        )
    return True


def expire_unproved() -> int:
    """Expires requests whose time is over, and forgets expired ones after a month.

    Not while hosted mode is off: nobody could have proved a mailbox meanwhile.
    """
    if not settings.HOSTED_MODE:
        return 0
    now = timezone.now()
    over = Organisation.objects.filter(
        state=State.REQUESTED, created_at__lt=now - timedelta(seconds=settings.SIGNUP_LINK_LIFE)
    )
    count = sum(
        expire(organisation=each, actor=Actor.system("sweep"), reason="mailbox never proved")
        for each in over
    )
    Organisation.objects.filter(
        state=State.EXPIRED, created_at__lt=now - timedelta(days=30)
    ).delete()
    return count


def _take_seat(request: signup_rules.Request) -> Invitation | None:
    """A seat of the invitation, or None. An earlier request by the same two gives its seat back."""
    if not request.invitation:
        return None
    try:
        with transaction.atomic():
            for earlier in Organisation.objects.filter(
                state=State.REQUESTED,
                owner_email__iexact=request.email,
                invitation__token_hash=links.digest(request.invitation),
            ):
                expire(organisation=earlier, actor=Actor.anonymous(), reason="asked again")
            return invitations.redeem(token=request.invitation, email=request.email)
    except invitations.InvitationRefused:
        return None


def _first_free(
    request: signup_rules.Request, canary: bool, invitation: Invitation | None
) -> Organisation:
    """Two requests for one label at once: the index decides, the other takes the next."""
    for label in signup_rules.labels(request, canary=canary):
        try:
            with transaction.atomic():
                return Organisation.objects.create(
                    display_name=request.org_name,
                    label=label,
                    schema_name=schemas.new_schema_name(),
                    instance_host=hosts.instance_host(label),
                    owner_email=request.email,
                    canary=canary,
                    invitation=invitation,
                )
        except IntegrityError:
            continue
    raise RuntimeError("No label was free.")


def _mail_proof(organisation: Organisation) -> None:
    token = links.mint(
        purpose=LinkPurpose.VERIFY_MAILBOX,
        organisation=organisation,
        life=timedelta(seconds=settings.SIGNUP_LINK_LIFE),
    )
    mail.send_later(
        to=organisation.owner_email,
        subject="Confirm your address to set up your organisation",
        template="verify_mailbox",
        context={
            "organisation": organisation,
            "link": addresses.on_base(f"/signup/verify/{token}"),
            "hours": round(settings.SIGNUP_LINK_LIFE / 3600),
        },
    )


def mail_sign_in(user: User) -> None:
    """Mails a single-use link to a person.

    Staff sign in with their password only: a mailbox alone must not open the staff pages.
    """
    if user.is_staff:
        link = addresses.on_base(settings.LOGIN_URL)
    else:
        link = entry.sign_in_link(user, target="/")
    mail.send_later(
        to=user.email or "",
        subject="Your sign-in link",
        template="sign_in",
        context={"link": link, "single_use": not user.is_staff, "minutes": entry.LINK_MINUTES},
    )
