"""Takes an organisation away for good, leaving a tombstone: its label and schema name never return.

Two transactions. The first moves it to `purging`: from then on nothing lets anybody in. The second
removes everything and makes the tombstone. Killed between them, the worker's sweep goes on with
the second, which does the same however often it runs.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import invitations, jobs, metrics, states
from tenants.accounts import entry, sessions
from tenants.effects import effects
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
    State,
    StepRecord,
    User,
)
from tenants.residue import residue


def purge(*, organisation: Organisation, actor: Actor, reason: str = "") -> Organisation:
    """Removes a canary now, resuming where an earlier purge was cut off.

    Raises states.TransitionRefused: `retention_required` for any other organisation, and
    `already_deleted`.
    """
    with transaction.atomic():
        organisation = states.locked(organisation)
        if organisation.state in (State.DELETED, State.EXPIRED):
            raise states.TransitionRefused("already_deleted", "There is nothing to purge.")
        if organisation.state != State.PURGING:
            if not organisation.canary:
                raise states.TransitionRefused(
                    "retention_required", "Only canaries are purged without retention."
                )
            before = organisation.state
            states.move(organisation, State.PURGING)
            organisation.save()
            for effect in effects():
                effect.pending_deletion(organisation)
            trail.record(
                action="org_purge_started",
                actor=actor,
                organisation=organisation.pk,
                subject=organisation.label,
                reason=reason,
                before={"state": before},
                after={"state": organisation.state},
            )
            transaction.on_commit(lambda: metrics.transitioned(before, State.PURGING))
    return finish(organisation=organisation, actor=actor, reason=reason)


def finish(*, organisation: Organisation, actor: Actor, reason: str = "") -> Organisation:
    """The second half of a purge; does nothing unless the organisation is being purged."""
    with transaction.atomic():
        organisation = states.locked(organisation)
        if organisation.state != State.PURGING:
            return organisation
        for effect in effects():
            effect.purge(organisation)
        people = _only_here(organisation)
        sessions.end(users=[user.pk for user in people], hosts=[organisation.instance_host])
        for model in (Link, Membership, MemberInvitation, SsoIdentity, SsoProvider, StepRecord):
            model._default_manager.filter(organisation=organisation).delete()
        Domain.objects.filter(tenant=organisation).delete()
        jobs.forget(organisation=str(organisation.pk))
        if organisation.canary:
            OutboxMail.objects.filter(recipient__iexact=organisation.owner_email).delete()
            Invitation.objects.filter(organisations=organisation, canary=True).delete()
        removed = [str(user.pk) for user in people]
        for user in people:
            user.delete()
        states.move(organisation, State.DELETED)
        _make_tombstone(organisation)
        trail.record(
            action="org_purged",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
            after={"people_removed": removed},
        )
    return organisation


def purge_canary(*, label: str, email: str, actor: Actor, reason: str = "") -> list[str]:
    """Removes a canary however far it came, its unused invitation included.

    Returns what is left of it, in words; an empty list means nothing.
    """
    for invitation in Invitation.objects.filter(canary=True, email__iexact=email):
        invitations.revoke(invitation=invitation, actor=actor, reason=reason)
    left: list[str] = []
    for organisation in Organisation.objects.filter(canary=True, label=label):
        if organisation.state not in (State.DELETED, State.EXPIRED):
            purge(organisation=organisation, actor=actor, reason=reason)
        left += residue(organisation.pk)
    Invitation.objects.filter(canary=True, email__iexact=email).delete()
    return left


def sweep() -> int:
    """Finishes purges that were cut off; returns how many."""
    finished = 0
    for organisation in Organisation.objects.filter(state=State.PURGING):
        finish(organisation=organisation, actor=Actor.system("sweep"), reason="resumed")
        finished += 1
    return finished


def _only_here(organisation: Organisation) -> list[User]:
    """People who exist for this canary alone. Other organisations' people are never removed."""
    if not organisation.canary:
        return []
    members = User.objects.select_for_update().filter(memberships__organisation=organisation)
    return [
        user
        for user in members
        if entry.made_by_sign_up(user)
        and not user.memberships.exclude(organisation=organisation).exists()
    ]


def _make_tombstone(organisation: Organisation) -> None:
    """What stays: id, label, schema name, host, that it was a canary, and the dates."""
    organisation.display_name = "(deleted)"
    organisation.owner_email = ""
    organisation.suspended_at = None
    organisation.suspended_by = ""
    organisation.suspend_reason = ""
    organisation.failure = ""
    organisation.invitation = None
    organisation.deleted_at = timezone.now()
    organisation.save()
