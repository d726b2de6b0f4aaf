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

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, faults, locks, mail, metrics
from tenants.backups import keeping
from tenants.deletion import final_copy, notices, receipts
from tenants.deletion.blast import Blast, blast_radius
from tenants.effects import effects
from tenants.models import (
    Backup,
    BackupState,
    DeletionReceipt,
    Organisation,
    OutboxMail,
    Removal,
    State,
)
from tenants.states import TransitionRefused, locked, move, require_purgeable

log = structlog.get_logger(__name__)

ACTOR: Final = Actor.system("reaper")
# After a failure: five minutes, doubled each time, six hours at most.
PAUSE: Final = timedelta(minutes=5)
LONGEST_PAUSE: Final = timedelta(hours=6)
MOST_PUT_OFF: Final = 365  # days at a time
COPIES: Final = 3  # attempts at a final copy of data that keeps changing

DELETED, DRY_RUN, FAILED = "deleted", "dry_run", "failed"


class Busy(Exception):
    """Another reaper is at this organisation."""


class ReapFailed(Exception):
    """Something raised; it is noted on the removal, and tried again later. The text is for staff."""


class _Superseded(Exception):
    """Another reaper has the claim, or the deletion was cancelled."""


@dataclass(frozen=True)
class Reaped:
    """What became of one organisation (hosted-contract section 6): `action` is deleted, dry_run or
    failed; `blast` is what went, or would go; `waits` is why a dry run's would be left alone now."""

    organisation: str
    label: str
    requested_at: datetime
    retention_days: int | None
    due_at: datetime
    action: str
    error: str = ""
    blast: dict[str, Any] = field(default_factory=dict)
    receipt: str = ""
    waits: str = ""

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        for name in ("requested_at", "due_at"):
            found[name] = found[name].isoformat(timespec="seconds")
        return found


@dataclass(frozen=True)
class _Claim:
    """Which removal is ours; `at` is what its row says as long as it is."""

    removal: int
    at: datetime


def due(now: datetime | None = None) -> QuerySet[Removal]:
    """Deletions that are to go on now: retention over or cut off, and not waiting for another try."""
    now = now or timezone.now()
    return (
        Removal.objects.filter(
            Q(organisation__state=State.PURGING)
            | Q(organisation__state=State.PENDING_DELETION, due_at__lte=now)
        )
        .filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
        .select_related("organisation")
        .order_by("due_at")
    )


def sweep(*, actor: Actor = ACTOR) -> list[Reaped]:
    """Deletes everything that is due; one that fails or waits does not hold up the others."""
    return _all_of(due(), actor)


def resume(*, actor: Actor = ACTOR) -> list[Reaped]:
    """Only goes on with deletions that were cut off after they had begun.

    Unless PULSECLOUD_REAPER is on, customers' data stays as it is, half deleted or not; canaries and
    what never came to be are nobody's, and proofs go on.
    """
    for organisation in Organisation.objects.filter(state=State.PURGING, removal=None):
        _removal_of(organisation)
    begun = due().filter(organisation__state=State.PURGING)
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
        claim = _claim(organisation)
        with _noting_failure(organisation, claim):
            _begin(organisation, claim, actor, reason)
            for effect in effects():
                _run(organisation, claim, effect.name, effect.purge)
            return _bury(organisation, claim, actor, reason)


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
            _shut(organisation, _removal_of(organisation), None, actor, reason)
    return organisation


def hurry(*, removal: Removal, actor: Actor, reason: str = "") -> None:
    """Ends the pause after a failure: the next sweep takes it up. Raises TransitionRefused
    `not_waiting`."""
    with transaction.atomic():
        organisation = locked(removal.organisation)
        taken = Removal.objects.filter(pk=removal.pk, next_try_at__isnull=False)
        if not taken.update(next_try_at=None):
            raise TransitionRefused("not_waiting", "It does not wait for another try.")
        trail.record(
            action="org_reaping_hurried",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
        )


def put_off(
    *,
    organisation: Organisation,
    days: int,
    actor: Actor,
    reason: str = "",
    seen: datetime | None = None,
) -> Removal:
    """Gives a deletion that has not begun `days` more, counted from its date or from now, whichever
    is later; it can be restored as long. `seen` is the date that whoever decides was shown: pressed
    twice it is put off once.

    Raises TransitionRefused: `not_pending_deletion`, `retention_over` (it has begun),
    `invalid_retention_days` (1 to MOST_PUT_OFF), `changed_meanwhile`.
    """
    if not 1 <= days <= MOST_PUT_OFF:
        raise TransitionRefused(
            "invalid_retention_days", f"Put it off by 1 to {MOST_PUT_OFF} days."
        )
    with transaction.atomic():
        current = locked(organisation)
        if current.state in (State.PURGING, State.DELETED):
            raise TransitionRefused("retention_over", "It is being deleted already.")
        removal = Removal.objects.select_for_update().filter(organisation=current).first()
        if removal is None or current.state != State.PENDING_DELETION:
            raise TransitionRefused("not_pending_deletion", "No deletion of it is planned.")
        before = removal.due_at
        if seen is not None and seen != before:
            raise TransitionRefused(
                "changed_meanwhile",
                f"Somebody else was faster: it is due on {before:%Y-%m-%d at %H:%M} UTC now.",
            )
        removal.due_at = max(before, timezone.now()) + timedelta(days=days)
        removal.save(update_fields=["due_at"])
        trail.record(
            action="org_deletion_put_off",
            actor=actor,
            organisation=current.pk,
            subject=current.label,
            reason=reason,
            before={"due_at": before},
            after={"due_at": removal.due_at},
        )
    removal.organisation = current
    return removal


def dry_run(removal: Removal) -> Reaped:
    """What deleting it would take; changes nothing but a counter."""
    metrics.reaped(DRY_RUN)
    organisation, waits = removal.organisation, ""
    try:
        _require_told(organisation, removal)
    except TransitionRefused as refused:
        waits = str(refused)
    counts = blast_radius(organisation).as_json()
    return _reaped(removal, DRY_RUN, blast=counts, waits=waits)


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
            done.append(_reaped(removal, FAILED, error=str(failure)))
    return done


def _removal_of(organisation: Organisation) -> Removal:
    """Its removal; made here for what is purged without a request."""
    now = timezone.now()
    removal, _ = Removal.objects.get_or_create(
        organisation=organisation,
        defaults={
            "requested_at": organisation.deletion_requested_at or now,
            "requested_by": "platform",
            "due_at": now,
        },
    )
    return removal


def _claim(organisation: Organisation) -> _Claim:
    """Raises Busy when somebody else was faster between our look and our UPDATE."""
    if Organisation.objects.filter(pk=organisation.pk, state=State.PURGING).exists():
        _removal_of(organisation)
    found = Removal.objects.filter(organisation=organisation).values("pk", "claimed_at").first()
    if found is None:
        organisation.refresh_from_db()
        code = "already_deleted" if organisation.state == State.DELETED else "not_pending_deletion"
        raise TransitionRefused(code, f"No deletion of {organisation.label} is under way.")
    now = timezone.now()
    taken = Removal.objects.filter(pk=found["pk"], claimed_at=found["claimed_at"]).update(
        claimed_at=now, attempts=F("attempts") + 1
    )
    if not taken:
        raise Busy(f"{organisation.label} is being deleted by another process.")
    faults.point("reap.claimed")
    return _Claim(found["pk"], now)


def _held(organisation: Organisation, claim: _Claim) -> tuple[Organisation, Removal]:
    """Both rows, locked, as long as the claim is ours. Raises _Superseded."""
    current = locked(organisation)
    removal = (
        Removal.objects.select_for_update().filter(pk=claim.removal, claimed_at=claim.at).first()
    )
    if removal is None:
        raise _Superseded
    removal.organisation = current
    return current, removal


def _begin(organisation: Organisation, claim: _Claim, actor: Actor, reason: str) -> None:
    """Copies and shuts it, unless that was done already."""
    for attempt in range(1, COPIES + 1):
        with transaction.atomic():
            current, removal = _held(organisation, claim)
            if current.state == State.PURGING:
                _count(current, removal)
                return
            _require_told(current, removal)
            copy = final_copy.last(current, removal) if final_copy.wanted(current) else None
        if copy is None and final_copy.wanted(current):
            copy = final_copy.make(current, actor=actor)
            faults.point("reap.copied")
        try:
            with transaction.atomic():
                current, removal = _held(organisation, claim)
                _require_told(current, removal)
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


def _require_told(organisation: Organisation, removal: Removal) -> None:
    """Raises TransitionRefused: the retention is not over, or the owner was not told in time."""
    now = timezone.now()
    require_purgeable(organisation, now=now)
    if organisation.state != State.PENDING_DELETION or organisation.canary:
        return
    earliest = notices.may_go_at(removal, now)
    if now < earliest:
        raise TransitionRefused(
            "notice_outstanding",
            f"Its owner was not told in time: not before {earliest:%Y-%m-%d %H:%M} UTC.",
        )


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


def _run(organisation: Organisation, claim: _Claim, name: str, purge: Any) -> None:
    with transaction.atomic():
        current, removal = _held(organisation, claim)
        if name in removal.done:
            return
        purge(current)
        faults.point(f"reap.{name}.before_record")
        removal.done = [*removal.done, name]
        removal.save(update_fields=["done"])
        faults.point(f"reap.{name}.before_commit")
    faults.point(f"reap.{name}.after_commit")


def _bury(organisation: Organisation, claim: _Claim, actor: Actor, reason: str) -> Reaped:
    """The last transaction: nothing but a tombstone and, for a customer, the receipt is left."""
    with transaction.atomic():
        current, removal = _held(organisation, claim)
        copies = Backup.objects.filter(organisation=current, state=BackupState.DONE).count()
        until = keeping.expire_after_deletion(current)
        receipt = None
        if not current.canary and current.provisioned_at:  # else nothing was ever there
            copy = final_copy.last(current, removal)
            receipt = receipts.make(
                organisation=current,
                removal=removal,
                blast=Blast(**removal.blast),
                copy=copy,
                copies=copies,
                copies_until=until if copies else None,
            )
            _mail(current, receipt)
        OutboxMail.objects.filter(pk__in=[each["mail"] for each in removal.notices]).delete()
        reaped = _reaped(removal, DELETED, blast=removal.blast, receipt=receipt)
        removal.delete()
        _make_tombstone(current)
        trail.record(
            action=receipts.REAPED if receipt else "org_purged",
            actor=actor,
            organisation=current.pk,
            subject=current.label,
            reason=reason,
            before={"state": State.PURGING},
            after={
                "state": current.state,
                "receipt": str(receipt.pk) if receipt else None,
                "receipt_digest": receipts.digest(receipt.document) if receipt else None,
                "removal": claim.removal,
            },
        )
        faults.point("reap.bury.before_commit")
        transaction.on_commit(lambda: _buried(reaped))
    faults.point("reap.bury.after_commit")
    return reaped


def _buried(reaped: Reaped) -> None:
    metrics.reaped(DELETED)
    log.info("organisation deleted", organisation=reaped.organisation, label=reaped.label)


def _make_tombstone(organisation: Organisation) -> None:
    """What stays: id, label, schema name, host, that it was a canary, and the dates."""
    move(organisation, State.DELETED)
    organisation.display_name = "(deleted)"
    organisation.owner_email = ""
    organisation.state_before_deletion = ""
    organisation.suspended_at = None
    organisation.suspended_by = ""
    organisation.suspend_reason = ""
    organisation.failure = ""
    organisation.invitation = None
    organisation.deleted_at = timezone.now()
    organisation.save()


def _mail(organisation: Organisation, receipt: DeletionReceipt) -> None:
    if not organisation.owner_email:
        return
    link = addresses.on_base(f"/receipts/{receipt.pk}") if settings.PUBLIC_URL else ""
    mail.send_later(
        to=organisation.owner_email,
        subject=f"{organisation.display_name} was deleted",
        template="deletion_receipt",
        context={
            "name": organisation.display_name,
            "document": receipt.document,
            "deleted_at": receipt.made_at,
            "copies_until": receipt.copies_until,
            "link": link,
        },
    )


@contextmanager
def _noting_failure(organisation: Organisation, claim: _Claim) -> Iterator[None]:
    """Frees the claim whatever happens, and notes why it did not work. A killed process frees
    nothing; its lock is gone all the same."""
    try:
        yield
    except _Superseded:
        raise Busy(f"The deletion of {organisation.label} was cancelled or taken over.") from None
    except TransitionRefused:
        ours = Removal.objects.filter(pk=claim.removal, claimed_at=claim.at)
        ours.update(claimed_at=None, attempts=F("attempts") - 1)
        raise
    except Exception as error:
        _note_failure(organisation, claim, error)
        raise ReapFailed(_describe(error)) from error


def _note_failure(organisation: Organisation, claim: _Claim, error: Exception) -> None:
    """On the removal only while the claim is ours: whoever took it over must not be held up by what
    befell us."""
    text = _describe(error)
    log.error("deletion failed", organisation=organisation.label, exc_info=error)
    with transaction.atomic():
        current = locked(organisation)
        ours = Removal.objects.select_for_update().filter(pk=claim.removal, claimed_at=claim.at)
        removal = ours.first()
        if removal is not None:
            pause = min(LONGEST_PAUSE, PAUSE * 2 ** min(removal.attempts - 1, 10))
            removal.claimed_at, removal.error = None, text
            removal.next_try_at = timezone.now() + pause
            removal.save(update_fields=["claimed_at", "error", "next_try_at"])
        trail.record(
            action="org_reaping_failed",
            actor=ACTOR,
            organisation=current.pk,
            subject=current.label,
            success=False,
            reason=text,
        )
    metrics.reaped(FAILED)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:1000]


def _reaped(
    removal: Removal,
    action: str,
    *,
    error: str = "",
    blast: dict[str, Any] | None = None,
    receipt: DeletionReceipt | None = None,
    waits: str = "",
) -> Reaped:
    organisation = removal.organisation
    return Reaped(
        organisation=str(organisation.pk),
        label=organisation.label,
        requested_at=removal.requested_at,
        retention_days=organisation.retention_days,
        due_at=removal.due_at,
        action=action,
        error=error,
        blast=blast or {},
        receipt=str(receipt.pk) if receipt else "",
        waits=waits,
    )
