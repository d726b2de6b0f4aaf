"""How often invitations to an organisation are sent and mailed (hosted-contract section 9.2, F70)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from tenants import addresses, limits
from tenants.http.problems import Problem
from tenants.models import MemberInvitation, Organisation

PAUSE: Final = timedelta(minutes=5)  # between two mails of one invitation
# All organisations together, and apart from sign-in mails: nobody is kept from signing in by
# others who invite them.
MAILS_PER_MAILBOX_PER_HOUR: Final = 3


def may_mail(invitation: MemberInvitation) -> bool:
    return timezone.now() - invitation.sent_at >= PAUSE


def sent_recently() -> Problem:
    minutes = int(PAUSE.total_seconds() // 60)
    return Problem(
        429,
        "sent_recently",
        f"It was sent less than {minutes} minutes ago. Wait a little.",
        retryAfter=minutes * 60,
    )


def count(organisation: Organisation, email: str) -> None:
    """Counts one invitation, and the mail when there will be one."""
    try:
        addresses.base()
    except addresses.PublicUrlMissing:
        raise Problem(
            503, "public_url_missing", "This server has no public address yet, so nobody can join."
        ) from None
    per_hour = settings.MEMBER_INVITATIONS_PER_HOUR
    if not limits.allow("member-invitations", str(organisation.pk), limit=per_hour, seconds=3600):
        raise Problem(
            429,
            "too_many_invitations",
            f"An organisation can send {per_hour} invitations in an hour. Try again later.",
            retryAfter=3600,
        )
    if email and not limits.allow(
        "member-invitation-mail", email, limit=MAILS_PER_MAILBOX_PER_HOUR, seconds=3600
    ):
        raise Problem(
            429,
            "too_many_mails",
            "That mailbox got several invitations within the hour. Try again later.",
            retryAfter=3600,
        )
