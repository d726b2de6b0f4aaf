"""The people of an organisation that goes: whose account goes with it, and everybody's ties to it."""

from __future__ import annotations

from tenants import jobs
from tenants.accounts import entry, sessions
from tenants.models import (
    Domain,
    Invitation,
    Link,
    MemberInvitation,
    Membership,
    Organisation,
    OutboxMail,
    SsoIdentity,
    SsoProvider,
    StepRecord,
    User,
)

_TIES = (Link, Membership, MemberInvitation, SsoIdentity, SsoProvider, StepRecord)


def only_here(organisation: Organisation) -> list[User]:
    """People whose account goes: a canary's, whom nothing but its sign-up made, and those who could
    only come by its single sign-on and would be nobody afterwards.

    Accounts with a mailbox or a password of their own stay, as does everybody who belongs
    elsewhere: an account is its person's, not the organisation's.
    """
    here = User.objects.filter(memberships__organisation=organisation) | User.objects.filter(
        sso_identities__organisation=organisation
    )
    return [
        user
        for user in here.distinct()
        if entry.made_by_sign_up(user)
        and (organisation.canary or not user.email)
        and not user.memberships.exclude(organisation=organisation).exists()
        and not user.sso_identities.exclude(organisation=organisation).exists()
    ]


def cut(organisation: Organisation) -> list[str]:
    """Ends sessions, removes ties and the accounts of `only_here`; returns the ids of the latter.

    Does the same however often it runs.
    """
    gone = only_here(organisation)
    sessions.end(users=[user.pk for user in gone], hosts=[organisation.instance_host])
    for model in _TIES:
        model._default_manager.filter(organisation=organisation).delete()
    Domain.objects.filter(tenant=organisation).delete()
    jobs.forget(organisation=str(organisation.pk))
    if organisation.canary:
        OutboxMail.objects.filter(recipient__iexact=organisation.owner_email).delete()
        Invitation.objects.filter(organisations=organisation, canary=True).delete()
    removed = [str(user.pk) for user in gone]
    for user in gone:
        user.delete()
    return removed
