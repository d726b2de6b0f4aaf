"""What exactly is hashed and signed. Nothing here may change: a new layout is a new form.

    event hash   SHA-256 of "pulsecloud audit event <form>\\n" and a JSON array of all columns, each
                 as text or null, in the order of FORMS
    batch hash   SHA-256 of "pulsecloud audit batch <form>\\n", a JSON array (number, previous hash,
                 count, highest event, caught up, time, key id), "\\n", and for each event in order
                 its id (8 bytes, big endian) and its hash (32 bytes)
    signature    Ed25519 over "pulsecloud audit seal <form>\\n" and the 32 bytes of the batch hash

Columns come as PostgreSQL's own text, so that no driver's rounding can hide a change; times are
UTC with microseconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from audit.models import Batch

FORM: Final = 1
FIRST: Final = "0" * 64  # the previous hash of the first batch
_TIME: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_TEXT: Final = "{}::text"

# Columns of audit_event in their order, by form. `id` is first and `at` third in all of them.
FORMS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "id", "uuid", "at", "action", "actor_kind", "actor_id", "actor_label", "organisation",
        "subject", "success", "path", "reason", "before", "after", "request_id", "address",
    ),
}  # fmt: skip
AT: Final = 2


def columns(form: int, table: str) -> str:
    """The select list that gives an event's columns as text."""
    return ", ".join(
        (_TIME if name == "at" else _TEXT).format(f'{table}."{name}"') for name in FORMS[form]
    )


def event_hash(form: int, values: Sequence[str | None]) -> bytes:
    """`values` as `columns` selects them."""
    text = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"pulsecloud audit event {form}\n{text}".encode()).digest()


def batch_hash(batch: Batch, events: Iterable[tuple[int, bytes]]) -> str:
    """Hex; `events` are (id, hash) in their order."""
    head = [
        batch.number,
        batch.previous_hash,
        batch.count,
        batch.highest_event,
        batch.caught_up,
        time_text(batch.sealed_at),
        batch.key_id,
    ]
    text = json.dumps(head, separators=(",", ":"))
    digest = hashlib.sha256(f"pulsecloud audit batch {batch.form}\n{text}\n".encode())
    for event, hashed in events:
        digest.update(event.to_bytes(8, "big", signed=True) + hashed)
    return digest.hexdigest()


def signed_text(form: int, hashed: str) -> bytes:
    """What a batch's signature covers."""
    return f"pulsecloud audit seal {form}\n".encode() + bytes.fromhex(hashed)


def time_text(moment: datetime) -> str:
    """As `columns` writes times; these texts sort as the times do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def head_text(batch: Batch) -> str:
    """`12:0a1b2c3d-…`, for notes and logs: in groups, or log filters would take it for a secret."""
    groups = [batch.hash[at : at + 8] for at in range(0, 64, 8)]
    return f"{batch.number}:{'-'.join(groups)}"


def parse_head(text: str) -> tuple[int | None, str]:
    """(number or None, hash) of a head as people noted it. Raises ValueError."""
    number, colon, hashed = text.strip().lower().rpartition(":")
    hashed = hashed.replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{64}", hashed) or (colon and not number.isascii()):
        raise ValueError(f"{text!r} is no head: 64 hexadecimal digits, as `audit head` prints them")
    return (int(number) if colon else None), hashed
