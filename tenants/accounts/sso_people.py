"""People who come by single sign-on, as pages see them: what a provider claims of them, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.http import HttpRequest

from tenants.models import MemberRole, Organisation, Session, SsoIdentity, SsoProvider, User

SESSION_KEY: Final = "_sso"  # in a session: slug of the provider that it came through
HINT_COOKIE: Final = "pulsecloud_sso_here"  # this browser came by single sign-on before
SIGN_IN: Final = "/sso/"


def came_by_sso(request: HttpRequest) -> bool:
    """Whether this session, on an organisation's host, was made by single sign-on."""
    return bool(request.session.get(SESSION_KEY))


def is_on(organisation: Organisation) -> bool:
    """Whether the organisation switched single sign-on on: then its start page shows it (design 2)."""
    return SsoProvider.objects.filter(organisation=organisation, enabled=True).exists()


def claimed(organisation: Organisation, users: Iterable[UUID]) -> dict[UUID, SsoIdentity]:
    """The identity behind each of these people who has one here; one query. What it says of their
    name and address is claimed by their provider: pages must say so (F74)."""
    rows = SsoIdentity.objects.filter(organisation=organisation, user__in=list(users))
    return {row.user_id: row for row in rows.order_by("last_login_at")}


def must_use_sso(organisation: Organisation, user: User) -> bool:
    """Whether this person's base-domain sign-in does not open the organisation: its owner's always
    does, because a provider that is down must not lock everybody out (F74)."""
    if not organisation.sso_required:
        return False
    return not organisation.memberships.filter(user=user, role=MemberRole.OWNER).exists()


def end_other_sessions(organisation: Organisation) -> int:
    """Signs out of the organisation's host who came neither by single sign-on nor as its owner."""
    stay = [
        *organisation.memberships.filter(role=MemberRole.OWNER).values_list("user_id", flat=True),
        *organisation.sso_identities.values_list("user_id", flat=True),
    ]
    others = Session.objects.filter(host=organisation.instance_host).exclude(user__in=stay)
    return others.delete()[0]
