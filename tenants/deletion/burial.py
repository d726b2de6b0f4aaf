"""The end of a deletion: the receipt, the tombstone, the trail."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import addresses, faults, mail, metrics
from tenants.backups import keeping
from tenants.deletion import claims, final_copy, outcomes, receipts
from tenants.deletion.blast import Blast
from tenants.deletion.outcomes import DELETED, Reaped
from tenants.models import Backup, BackupState, DeletionReceipt, Organisation, OutboxMail, State
from tenants.states import move

log = structlog.get_logger(__name__)


def bury(organisation: Organisation, claim: claims.Claim, actor: Actor, reason: str) -> Reaped:
    """The last transaction: nothing but a tombstone and, for a customer, the receipt is left."""
    with transaction.atomic():
        current, removal = claims.held(organisation, claim)
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
        reaped = outcomes.of(removal, DELETED, blast=removal.blast, receipt=receipt)
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
