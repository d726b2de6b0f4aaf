"""The organisation's audit trail as pages: searching it, and one event with its seal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit import export
from audit.models import Batch, Event
from rbac import audit_query, audit_shown
from rbac.audit_api import verdict
from rbac.audit_words import title
from tenants.door import Knock, Refused, requires, tenant_page
from tenants.models import User

PER_PAGE: Final = 50
_PERSON: Final = re.compile(r"user ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_FIELDS: Final = ("event", "user", "outcome", "from", "to")


@dataclass(frozen=True)
class Row:
    """An event for people; `changes` are (what, before, after)."""

    id: UUID
    at: datetime
    title: str
    name: str
    user: str
    success: bool
    subject: str
    reason: str
    changes: tuple[tuple[str, str, str], ...]
    address: str
    path: str
    request_id: str
    seal: int | None


@require_safe
@tenant_page
@requires("read", "audit_logs", capability="audit_logging")
def events(request: HttpRequest, knock: Knock) -> HttpResponse:
    """Newest first; `before` is the number of the event above which not to look."""
    organisation = knock.known_organisation
    wanted = audit_query.from_page(request.GET)
    rows = wanted.rows(organisation.pk)
    below = request.GET.get("before", "")
    below = below if below.isascii() and below.isdigit() and len(below) < 19 else ""
    with audit_query.reading():
        page = list(
            (rows.filter(pk__lt=int(below)) if below else rows).order_by("-id")[: PER_PAGE + 1]
        )
        names = audit_query.recent_names(organisation.pk)
        seals = export.seals_of(event.pk for event in page)
    more, page = len(page) > PER_PAGE, page[:PER_PAGE]
    typed = {name: request.GET.get(name, "")[:320] for name in _FIELDS}
    asked = {name: value for name, value in typed.items() if value}
    if wanted.event and wanted.event not in names:
        names.append(wanted.event)
    context = {
        "organisation": organisation,
        "rows": rows_of(page, seals),
        "names": sorted(((name, title(name)) for name in names), key=lambda each: each[1]),
        "typed": typed | {"from_": typed["from"]},
        "filtered": bool(asked),
        "newest": f"?{urlencode(asked)}" if below else "",
        "older": f"?{urlencode(asked | {'before': page[-1].pk})}" if more else "",
        "export": wanted.query,
    }
    return render(request, "rbac/audit.html", context)


@require_safe
@tenant_page
@requires("read", "audit_logs", capability="audit_logging")
def event(request: HttpRequest, knock: Knock, event_id: UUID) -> HttpResponse:
    """One event with everything that is known of it, checked against its seal."""
    organisation = knock.known_organisation
    with audit_query.reading():
        found = Event.objects.filter(organisation=organisation.pk, uuid=event_id).first()
        if found is None:
            raise Refused(404, "not_found", "There is no such event.")
        available, verified, message, _ = verdict(found)
        seal = export.seals_of([found.pk]).get(found.pk)
    context = {
        "organisation": organisation,
        "row": rows_of([found], {found.pk: seal} if seal else {})[0],
        "seal": seal,
        "available": available,
        "verified": verified,
        "message": message,
    }
    return render(request, "rbac/audit_event.html", context)


def rows_of(page: Sequence[Event], seals: Mapping[int, Batch]) -> list[Row]:
    """Subjects that are people are shown by name; verbs write `user <id>`."""
    ids = [match[1] for event in page if (match := _PERSON.fullmatch(event.subject))]
    names = {f"user {person.pk}": str(person) for person in User.objects.filter(pk__in=ids)}
    return [_row(event, seals.get(event.pk), names) for event in page]


def _row(event: Event, seal: Batch | None, names: Mapping[str, str]) -> Row:
    address, path = audit_shown.from_where(event)
    return Row(
        id=event.uuid,
        at=event.at,
        title=title(event.action),
        name=event.action,
        user=audit_shown.user_of(event),
        success=event.success,
        subject=names.get(event.subject, event.subject),
        reason=event.reason,
        changes=_changes(event.before, event.after),
        address=address,
        path=path,
        request_id=event.request_id,
        seal=seal.number if seal else None,
    )


def _changes(before: Any, after: Any) -> tuple[tuple[str, str, str], ...]:
    """What both sides say, key by key; what is the same on both is left out."""
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    return tuple(
        (key.replace("_", " "), _value(old.get(key)), _value(new.get(key)))
        for key in [*old, *(key for key in new if key not in old)]
        if key not in old or key not in new or old[key] != new[key]
    )


def _value(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
