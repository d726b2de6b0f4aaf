"""Many invitations from one CSV file: all of them, or none and what is wrong with each line.

The first line names the columns: email, domain, seats, days, note, in any order, others are
refused. A line has an address or a domain. Commas or semicolons; UTF-8, with or without a mark.
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import invitations, locks, mailboxes, signup_rules
from tenants.invitations import InvalidInvitation, Invited
from tenants.models import Invitation, User

COLUMNS: Final = ("email", "domain", "seats", "days", "note")
# One transaction, and a mail for each: some seconds at most.
MOST_LINES: Final = 500
LARGEST: Final = 256 * 1024  # bytes
LONGEST_NAME: Final = 64
LONGEST_NOTE: Final = 200


@dataclass(frozen=True)
class LineError:
    """`line` as an editor counts; 1 is the line that names the columns, 0 the file as a whole."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class InvalidBatch(ValueError):
    """Nothing was made; `errors` say why, in the order of the lines."""

    def __init__(self, errors: list[LineError]) -> None:
        super().__init__("; ".join(map(str, errors[:3])))
        self.errors = errors


@dataclass(frozen=True)
class Line:
    number: int
    email: str
    domain: str
    seats: int
    days: int
    note: str


@dataclass
class Batch:
    name: str
    made: list[Invited] = field(default_factory=list)

    @property
    def mailed(self) -> list[Invited]:
        return [each for each in self.made if each.invitation.mailed_at]

    @property
    def shown(self) -> list[Invited]:
        """Those whose link somebody has to hand over."""
        return [each for each in self.made if not each.invitation.mailed_at]


def invite_all(
    *,
    content: bytes,
    actor: Actor,
    reason: str = "",
    name: str = "",
    days: int = 14,
    send: bool = False,
    created_by: User | None = None,
) -> Batch:
    """Makes every invitation of a file in one transaction; `days` holds for lines without.

    With `send` lines with an address are mailed; a domain has no mailbox, so its link is shown.
    Raises InvalidBatch, and addresses.PublicUrlMissing.
    """
    errors: list[LineError] = []
    with transaction.atomic():
        # One file after the other: of one that is sent twice at once, the second sees the first.
        locks.wait("invitation batches")
        lines = read(content, days=days)
        batch = Batch(_name(name))
        for line in lines:
            try:
                batch.made.append(
                    invitations.invite(
                        actor=actor,
                        reason=reason,
                        email=line.email,
                        domain=line.domain,
                        seats=line.seats,
                        days=line.days,
                        note=line.note,
                        send=send and bool(line.email),
                        batch=batch.name,
                        created_by=created_by,
                    )
                )
                _ = batch.made[-1].link  # one that cannot be written down is no use
            except InvalidInvitation as invalid:
                errors.append(LineError(line.number, str(invalid)))
        if errors:
            raise InvalidBatch(errors)
        trail.record(
            action="invitation_batch_created",
            actor=actor,
            subject=batch.name,
            reason=reason,
            after={"count": len(batch.made), "sent": len(batch.mailed)},
        )
    return batch


def read(content: bytes, *, days: int = 14) -> list[Line]:
    """The lines of a file. Raises InvalidBatch with every error that there is."""
    rows = _rows(content)
    errors: list[LineError] = []
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        try:
            line = _line(number, row, days)
            whom = mailboxes.key(line.email) or line.domain
            if whom in seen:
                raise InvalidInvitation(f"{whom} stands in line {seen[whom]} already.")
            seen[whom] = number
            lines.append(line)
        except (InvalidInvitation, signup_rules.InvalidSignup) as invalid:
            errors.append(LineError(number, str(invalid)))
    errors += _invited_already(lines)
    if errors:
        raise InvalidBatch(sorted(errors, key=lambda each: each.line))
    if not lines:
        raise InvalidBatch([LineError(0, "The file has no line after the names of its columns.")])
    return lines


def _rows(content: bytes) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: text}) of every line that is not empty. Raises InvalidBatch."""
    if len(content) > LARGEST:
        raise InvalidBatch([LineError(0, f"The file is larger than {LARGEST // 1024} KiB.")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidBatch([LineError(0, "The file is not UTF-8 text.")]) from None
    if "\0" in text:
        raise InvalidBatch([LineError(0, "The file is not text.")])
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True
    )
    found: list[tuple[int, dict[str, str]]] = []
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_names(names)
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) > len(names):
                said = f"It has {len(values)} values for {len(names)} columns."
                raise InvalidBatch([LineError(reader.line_num, said)])
            found.append((reader.line_num, dict(zip(names, map(str.strip, values), strict=False))))
            if len(found) > MOST_LINES:
                raise InvalidBatch([LineError(0, f"A file has {MOST_LINES} lines at most.")])
    except csv.Error as error:
        raise InvalidBatch([LineError(reader.line_num, f"This is no CSV: {error}.")]) from None
    return found


def _check_names(names: list[str]) -> None:
    known = ", ".join(COLUMNS)
    if not {"email", "domain"} & set(names):
        said = f"The first line must name the columns, email or domain among them: {known}."
        raise InvalidBatch([LineError(1, said)])
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len(set(names)) != len(names):
        which = ", ".join(repr(each[:40]) for each in unknown[:5]) or "one that stands there twice"
        raise InvalidBatch([LineError(1, f"Unknown column: {which}. There are {known}.")])


def _line(number: int, row: dict[str, Any], days: int) -> Line:
    email, domain = row.get("email") or "", row.get("domain") or ""
    if bool(email) == bool(domain):
        raise InvalidInvitation("It needs an address or a domain, and not both.")
    return Line(
        number=number,
        email=signup_rules.clean_email(email) if email else "",
        domain=invitations.clean_domain(domain) if domain else "",
        seats=_whole(row.get("seats"), 1, "seats"),
        days=_whole(row.get("days"), days, "days"),
        note=_note(row.get("note") or ""),
    )


def _note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        raise InvalidInvitation(f"The note has {LONGEST_NOTE} characters at most.")
    return text


def _whole(text: str | None, default: int, name: str) -> int:
    """The ranges are `invitations.invite`'s to check."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        raise InvalidInvitation(f"{name} must be a whole number, not {text[:20]!r}.")
    return int(text)


def _invited_already(lines: list[Line]) -> Iterator[LineError]:
    """A file that is uploaded twice must not invite anybody twice."""
    living = Invitation.objects.filter(invitations.is_open(), canary=False)
    mailbox = living.annotate(mailbox=Lower("email"))  # kept as it was typed
    people = [mailboxes.key(line.email) for line in lines if line.email]
    domains = [line.domain for line in lines if line.domain]
    known = set(mailbox.filter(mailbox__in=people).values_list("mailbox", flat=True))
    known |= set(living.filter(domain__in=domains).values_list("domain", flat=True))
    for line in lines:
        if (mailboxes.key(line.email) or line.domain) in known:
            whom = line.email or line.domain
            yield LineError(line.number, f"{whom} has an invitation that can still be used.")


def _name(given: str) -> str:
    """What tells this upload from others."""
    given = given.strip()
    if len(given) > LONGEST_NAME:
        said = f"The name of a batch has {LONGEST_NAME} characters at most."
        raise InvalidBatch([LineError(0, said)])
    if given and Invitation.objects.filter(batch=given).exists():
        raise InvalidBatch([LineError(0, f"There is a batch called {given} already.")])
    return given or f"{timezone.now():%Y-%m-%d %H:%M} {secrets.token_hex(2)}"
