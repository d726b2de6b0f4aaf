"""From an identity to a person who is signed in on the organisation's host (design section 6).

Who somebody is: organisation, issuer and subject together, and nothing else. Equal addresses never
lead to an account, and one subject in two organisations is two people. The person has no e-mail,
no password and no staff rights (H7), and their session opens this one host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from rbac.sso import id_token, mapping
from rbac.sso.claims import Claimed
from rbac.sso.refusals import SsoRefused
from tenants import locks
from tenants.accounts import entry, recent, sessions, sso_people
from tenants.http import problems
from tenants.models import Organisation, SsoIdentity, SsoProvider, User
from tenants.people import membership
from tenants.schemas import in_schema

_GROUPS_SHOWN: Final = 200


@dataclass(frozen=True)
class Arrival:
    """Who came through a provider; the token that says so was checked."""

    organisation: Organisation
    provider: SsoProvider
    issuer: str
    subject: str
    claimed: Claimed


def admit(arrival: Arrival) -> SsoIdentity:
    """The person behind the identity, as a member with the roles of their groups.

    Made on first sight; a member that was removed becomes one again, because the provider and the
    lists still let them in (contract section 10.5). Raises SsoRefused `session_failed` for a closed
    account, `org_suspended` when the organisation changed meanwhile.
    """
    organisation, provider = arrival.organisation, arrival.provider
    with transaction.atomic():
        identity = _find_or_create(arrival)
        user = identity.user
        if not user.is_active:
            raise SsoRefused("session_failed", "the account is closed")
        actor = Actor.person(user)
        try:
            membership.add(
                organisation=organisation,
                user=user,
                role=provider.default_role,
                actor=actor,
                reason=f"came by single sign-on through {provider.slug}",
            )
        except problems.Problem as problem:
            code = "org_suspended" if problem.code == "org_not_active" else "session_failed"
            raise SsoRefused(code, problem.title) from None
        roles = mapping.apply(
            organisation=organisation,
            provider=provider,
            user=user,
            groups=arrival.claimed.groups or (),
            actor=actor,
        )
        trail.record(
            action="sso_oidc_login",
            actor=actor,
            organisation=organisation.pk,
            subject=f"user {user.pk}",
            after={
                "provider": provider.slug,
                "issuer": arrival.issuer,
                "subject": arrival.subject,
                "roles": "unchanged" if roles is None else roles,
            },
        )
    return identity


def shut_out(arrival: Arrival, refused: SsoRefused) -> None:
    """The provider vouches for somebody whom the lists keep out, or whose groups it does not tell.

    Whoever was let in before is signed out of this host, and has no mapped role any more: nobody
    vouches for it (F74). An unknown person leaves no row behind.
    """
    organisation, provider = arrival.organisation, arrival.provider
    with transaction.atomic():
        identity = SsoIdentity.objects.filter(
            organisation=organisation, issuer=arrival.issuer, subject=arrival.subject
        ).first()
        if identity is None:
            return
        sessions.end_on_host(identity.user_id, organisation.instance_host)
        mapping.apply(
            organisation=organisation,
            provider=provider,
            user=identity.user,
            groups=(),
            actor=Actor.system(f"single sign-on: {refused.code}"),
        )


def mapped(organisation: Organisation, provider: SsoProvider) -> bool:
    """Whether groups decide about roles."""
    with in_schema(organisation):
        return bool(mapping.of(provider))


def start_session(
    request: HttpRequest, identity: SsoIdentity, provider: SsoProvider, claims: Mapping[str, Any]
) -> None:
    """A session on this host that ends after the provider's hours, however busy it is.

    How fresh it is counts from when the person proved themselves to the provider. One that does not
    say makes no fresh sessions: it may know the person since this morning.
    """
    entry.start_session(request, identity.user)
    request.session.set_expiry(timezone.now() + timedelta(hours=provider.session_hours))
    request.session[sso_people.SESSION_KEY] = provider.slug
    recent.note(request, at=id_token.proved_at(claims))


def _find_or_create(arrival: Arrival) -> SsoIdentity:
    organisation, claimed = arrival.organisation, arrival.claimed
    locks.wait(f"sso:{organisation.pk}:{arrival.issuer}:{arrival.subject}")
    identity = (
        SsoIdentity.objects.select_related("user")
        .filter(organisation=organisation, issuer=arrival.issuer, subject=arrival.subject)
        .first()
    )
    name = (claimed.name or claimed.email or "Single sign-on person")[:120]
    if identity is None:
        user = User(email=None, name=name)
        user.set_unusable_password()
        user.save()
        identity = SsoIdentity(
            organisation=organisation, issuer=arrival.issuer, subject=arrival.subject, user=user
        )
    elif identity.user.name != name:
        identity.user.name = name
        identity.user.save(update_fields=["name"])
    identity.provider = arrival.provider
    identity.email, identity.name = claimed.email, claimed.name
    identity.groups = list(claimed.groups or ())[:_GROUPS_SHOWN]
    identity.last_login_at = timezone.now()
    identity.save()
    return identity
