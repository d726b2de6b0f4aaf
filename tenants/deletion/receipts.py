"""Receipts of deletions: what was removed, how much, when, by whom, and what copies remain until when.

A receipt holds nothing about any person. It is signed (Ed25519) with the key that signs the audit
trail's seals, which is derived from PULSECLOUD_ENCRYPTION_KEY and stands in no table:

    signature    over "pulsecloud deletion receipt 1\\n" and the document as JSON in UTF-8, keys
                 sorted, no blanks between its parts, no escapes but JSON's own

Its digest also stands in the sealed trail (`org_reaped`). So a receipt that was signed with a former
key counts as long as the trail vouches for it, and a former key that leaks makes no new ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.utils import timezone

from audit import keys
from audit.models import Event, KeyStatement, SealedEvent
from tenants.deletion.blast import Blast
from tenants.models import Backup, DeletionReceipt, Organisation, Removal

FORM: Final = 1
REAPED: Final = "org_reaped"
_HEAD: Final = f"pulsecloud deletion receipt {FORM}\n".encode()
KEPT: Final = (
    "its id, label, host and schema name, so that none of them is ever used again",
    "its relay instance id, blocked for ever",
    "the audit trail of what was done to it, by whom and when",
    "this receipt",
)


@dataclass(frozen=True)
class Verdict:
    """Whether a receipt is genuine, and why, in one sentence."""

    genuine: bool
    says: str

    def __bool__(self) -> bool:
        return self.genuine


def make(
    *,
    organisation: Organisation,
    removal: Removal,
    blast: Blast,
    copy: Backup | None,
    copies: int,
    copies_until: datetime | None,
) -> DeletionReceipt:
    """Signs and keeps a receipt. `copy` is the final copy, `copies` how many there are in all.

    Raises audit.keys.KeyMissing.
    """
    number, now = uuid.uuid4(), timezone.now()
    document: dict[str, Any] = {
        "form": FORM,
        "receipt": str(number),
        "organisation": str(organisation.pk),
        "label": organisation.label,
        "host": organisation.instance_host,
        "requested_at": _time(removal.requested_at),
        "requested_by": removal.requested_by,
        "retention_days": organisation.retention_days,
        "deleted_at": _time(now),
        "deleted": blast.as_json(),
        "steps": list(removal.done),
        "kept": list(KEPT),
        "copies": {
            "count": copies,
            "encrypted": True,
            "until": _time(copies_until),
            "final": None
            if copy is None
            else {"made_at": _time(copy.made_at), "bytes": copy.bytes, "sha256": copy.sha256},
        },
    }
    key = keys.own()
    keys.introduce(key)
    return DeletionReceipt.objects.create(
        id=number,
        organisation=organisation,
        label=organisation.label,
        document=document,
        signature=key.sign(signed_text(document)),
        kid=key.key_id,
        made_at=now,
        copies_until=copies_until,
    )


def verify(document: Mapping[str, Any], signature: str, kid: str) -> Verdict:
    """Whether this installation made exactly this receipt."""
    key = keys.believed().get(kid)
    if key is None:
        return Verdict(False, f"Key {kid} is none of ours, or nobody vouches for it any more.")
    try:
        text = signed_text(document)
    except (TypeError, ValueError, RecursionError):
        return Verdict(False, "This is not a receipt.")
    if not key.signed(text, signature):
        return Verdict(False, "It was changed after it was signed, or signed by somebody else.")
    if key.up_to is None:
        return Verdict(True, "Genuine: signed with the present key, and not changed since.")
    if _in_trail(document, up_to=key.up_to):
        return Verdict(True, "Genuine: signed with a former key, and the sealed trail knows it.")
    return Verdict(False, "Signed with a former key, but the trail of that time does not know it.")


def check(receipt: DeletionReceipt) -> Verdict:
    """As `verify`, of a receipt that we keep: also that its row is the one that it was signed for."""
    verdict = verify(receipt.document, receipt.signature, receipt.kid)
    if verdict and receipt.document.get("receipt") != str(receipt.pk):
        return Verdict(False, "This is another receipt's document, under a number that is not its.")
    return verdict


def of_removal(number: int) -> DeletionReceipt | None:
    """Of a removal that was carried out and is gone; the trail knows it."""
    events = Event.objects.filter(
        organisation__in=DeletionReceipt.objects.values("organisation"),  # the trail's index
        action=REAPED,
        after__removal=number,
    )
    found = list(events.order_by().values_list("after__receipt", flat=True))
    return DeletionReceipt.objects.filter(pk__in=found).first()


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of what is signed; hex."""
    return hashlib.sha256(signed_text(document)).hexdigest()


def signed_text(document: Mapping[str, Any]) -> bytes:
    """Raises TypeError or ValueError for what is no JSON."""
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return _HEAD + text.encode()


def as_file(receipt: DeletionReceipt) -> dict[str, Any]:
    """What a customer keeps: the document, its signature, and the key to check it with."""
    return {
        "document": receipt.document,
        "signature": receipt.signature,
        "kid": receipt.kid,
        "public_key": _public_key(receipt.kid),
    }


def _public_key(kid: str) -> str:
    """Base64; empty for a key that nobody wrote down."""
    statement = KeyStatement.objects.filter(key_id=kid).order_by("pk").first()
    if statement is not None:
        return statement.public_key
    try:
        own = keys.own()
    except keys.KeyMissing:
        return ""
    return base64.b64encode(own.public).decode("ascii") if own.key_id == kid else ""


def _in_trail(document: Mapping[str, Any], *, up_to: int) -> bool:
    """Whether an event with this receipt's digest stands in a seal that the key may have signed."""
    try:
        organisation = uuid.UUID(str(document.get("organisation")))
    except ValueError:
        return False
    events = Event.objects.filter(
        action=REAPED, organisation=organisation, after__receipt_digest=digest(document)
    )
    return SealedEvent.objects.filter(
        event__in=list(events.values_list("pk", flat=True)), batch__lte=up_to
    ).exists()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
