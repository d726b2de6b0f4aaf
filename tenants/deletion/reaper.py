"""Deletes organisations whose retention is over, so that it can be interrupted anywhere.

    claim     an advisory lock, and a conditional UPDATE of the removal: one reaper at a time
    copy      a last encrypted copy; until the next step the deletion can still be cancelled
    begin     one transaction: the copy holds exactly the data (F66), the owner was told, the blast
              radius is noted, the state is `purging`; from here on there is only forward
    effects   settings.LIFECYCLE_EFFECTS in their order (H21), each in one transaction with the note
              that it ran
    bury      one transaction: the receipt, the tombstone, the trail; the receipt is mailed

A reaper may be killed anywhere. What it had not committed is gone, DROP SCHEMA included, what it had
committed stands in `Removal.done`, and its lock went with its connection: the next one goes on
there. A reaper that lost its lock without knowing (its connection broke) finds another one's claim
in the row at its next transaction and stops.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import faults, locks, metrics
from tenants.backups import keeping
from tenants.deletion import burial, claims, final_copy, outcomes, planning
from tenants.deletion.blast import blast_radius
from tenants.deletion.claims import Busy, Claim, ReapFailed
from tenants.deletion.outcomes import DRY_RUN, FAILED, Reaped
from tenants.effects import effects
from tenants.models import Backup, Organisation, Removal, State
from tenants.states import TransitionRefused, locked, move, require_purgeable

log = structlog.get_logger(__name__)

ACTOR: Final = Actor.system("reaper")
COPIES: Final = 3  # attempts at a final copy of data that keeps changing


def sweep(*, actor: Actor = ACTOR) -> list[Reaped]:
    """Deletes everything that is due; one that fails or waits does not hold up the others."""
    return _all_of(planning.due(), actor)


def resume(*, actor: Actor = ACTOR) -> list[Reaped]:
    """Only goes on with deletions that were cut off after they had begun.

    Unless PULSECLOUD_REAPER is on, customers' data stays as it is, half deleted or not; canaries and
    what never came to be are nobody's, and proofs go on.
    """
    for organisation in Organisation.objects.filter(state=State.PURGING, removal=None):
        planning.removal_of(organisation)
    begun = planning.due().filter(organisation__state=State.PURGING)
    if settings.REAPER != "on":
        begun = begun.filter(
            Q(organisation__canary=True) | Q(organisation__deletion_requested_at=None)
        )
    return _all_of(begun, actor)


def reap(*, organisation: Organisation, actor: Actor, reason: str = "") -> Reaped:
    """Deletes one organisation whose retention is over, or goes on with it.

    Raises TransitionRefused (`retention_required`, `already_deleted`, `notice_outstanding`,
    `not_pending_deletion`), Busy, and ReapFailed when something failed: that is noted, and the next
    sweep after a pause tries again.
    """
    with locks.alone(f"reap:{organisation.pk}") as mine:
        if not mine:
            raise Busy(f"{organisation.label} is being deleted by another process.")
        claim = claims.take(organisation)
        with claims.noting_failure(organisation, claim):
            _begin(organisation, claim, actor, reason)
            for effect in effects():
                _run(organisation, claim, effect.name, effect.purge)
            return burial.bury(organisation, claim, actor, reason)


def begin_now(organisation: Organisation, *, actor: Actor, reason: str = "") -> Organisation:
    """Shuts an organisation that needs no retention (a canary, or one that never came to be) for
    good. Raises TransitionRefused as `states.require_purgeable` does, and `retention_required` for a
    customer's whatever its date: only the reaper copies it first and heeds PULSECLOUD_REAPER."""
    with transaction.atomic():
        organisation = locked(organisation)
        require_purgeable(organisation, now=timezone.now())
        if organisation.deletion_requested_at is not None and not organisation.canary:
            raise TransitionRefused("retention_required", "This one is the reaper's to delete.")
        if organisation.state != State.PURGING:
            _shut(organisation, planning.removal_of(organisation), None, actor, reason)
    return organisation


def dry_run(removal: Removal) -> Reaped:
    """What deleting it would take; changes nothing but a counter."""
    metrics.reaped(DRY_RUN)
    organisation, waits = removal.organisation, ""
    try:
        planning.require_told(organisation, removal)
    except TransitionRefused as refused:
        waits = str(refused)
    counts = blast_radius(organisation).as_json()
    return outcomes.of(removal, DRY_RUN, blast=counts, waits=waits)


# --- the parts ------------------------------------------------------------------------------------


def _all_of(removals: QuerySet[Removal], actor: Actor) -> list[Reaped]:
    done = []
    for removal in removals:
        try:
            done.append(reap(organisation=removal.organisation, actor=actor))
        except (TransitionRefused, Busy) as reason:
            log.info(
                "deletion left alone", organisation=removal.organisation.label, why=str(reason)
            )
        except ReapFailed as failure:
            done.append(outcomes.of(removal, FAILED, error=str(failure)))
    return done


def _begin(organisation: Organisation, claim: Claim, actor: Actor, reason: str) -> None:
    """Copies and shuts it, unless that was done already."""
    for attempt in range(1, COPIES + 1):
        with transaction.atomic():
            current, removal = claims.held(organisation, claim)
            if current.state == State.PURGING:
                _count(current, removal)
                return
            planning.require_told(current, removal)
            copy = final_copy.last(current, removal) if final_copy.wanted(current) else None
        if copy is None and final_copy.wanted(current):
            copy = final_copy.make(current, actor=actor)
            faults.point("reap.copied")
        try:
            with transaction.atomic():
                current, removal = claims.held(organisation, claim)
                planning.require_told(current, removal)
                if copy is not None:
                    final_copy.require_same(current, copy)
                _shut(current, removal, copy, actor, reason)
                faults.point("reap.begin.before_commit")
            break
        except final_copy.DataChanged as changed:
            log.warning("final copy outdated", organisation=current.label, why=str(changed))
            if copy is not None:
                keeping.remove(copy)
            if attempt == COPIES:
                raise
    faults.point("reap.begin.after_commit")


def _count(organisation: Organisation, removal: Removal) -> None:
    """For one that was shut without a removal's row: counts what is left of it, for the receipt."""
    if not removal.blast:
        removal.blast = blast_radius(organisation).as_json()
        removal.save(update_fields=["blast"])


def _shut(
    organisation: Organisation, removal: Removal, copy: Backup | None, actor: Actor, reason: str
) -> None:
    """From here on nothing lets anybody in, and nothing leads back."""
    before = organisation.state
    removal.blast = blast_radius(organisation).as_json()
    removal.done = []
    removal.save(update_fields=["blast", "done"])
    move(organisation, State.PURGING)
    organisation.save()
    if before != State.PENDING_DELETION:
        for effect in effects():  # the doors shut now, not effect by effect
            effect.pending_deletion(organisation)
    trail.record(
        action="org_purge_started",
        actor=actor,
        organisation=organisation.pk,
        subject=organisation.label,
        reason=reason,
        before={"state": before},
        after={
            "state": organisation.state,
            "rows": removal.blast["rows"],
            "final_copy": str(copy.pk) if copy else None,
        },
    )
    if before in (State.ACTIVE, State.SUSPENDED):  # all others' status stays what it is
        transaction.on_commit(lambda: metrics.transitioned(before, State.PURGING))


def _run(organisation: Organisation, claim: Claim, name: str, purge: Any) -> None:
    with transaction.atomic():
        current, removal = claims.held(organisation, claim)
        if name in removal.done:
            return
        purge(current)
        faults.point(f"reap.{name}.before_record")
        removal.done = [*removal.done, name]
        removal.save(update_fields=["done"])
        faults.point(f"reap.{name}.before_commit")
    faults.point(f"reap.{name}.after_commit")
