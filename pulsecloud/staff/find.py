"""One search over everything that staff look for, from the box in the menu.

Each kind is searched as its own list is, by whoever may see that list, and shows a few rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from pulsecloud.staff import badges
from pulsecloud.staff.words import age
from tenants.models import Organisation, User

SHOWN: Final = 8
SHORTEST: Final = 2
LONGEST: Final = 200
# In this order; one that is not registered here is left out.
KINDS: Final = (
    "tenants.organisation",
    "tenants.user",
    "tenants.invitation",
    "relay.registration",
    "tenants.backup",
    "tenants.deletionreceipt",
    "audit.event",
    "procrastinate.procrastinatejob",
)


@dataclass(frozen=True)
class Hit:
    """`named` when the term was an organisation's own label or id, and not a part of something."""

    title: str
    note: str
    address: str
    badge: str = ""
    named: bool = False


@dataclass(frozen=True)
class Kind:
    """Hits of one kind; `all` is the list that shows the rest, empty when this is all."""

    title: str
    hits: Sequence[Hit]
    all: str


def find(request: HttpRequest, term: str) -> list[Kind]:
    """What the term finds; nothing for a term of fewer than SHORTEST characters."""
    term = term.strip()[:LONGEST].replace("\x00", "")
    if len(term) < SHORTEST:
        return []
    return [kind for kind in _kinds(request, term) if kind.hits]


def straight_to(kinds: Sequence[Kind]) -> str:
    """The address of what was clearly meant; empty when that is not clear."""
    hits = [hit for kind in kinds for hit in kind.hits]
    meant = [hit for hit in hits if hit.named] or hits
    return meant[0].address if len(meant) == 1 else ""


def _kinds(request: HttpRequest, term: str) -> Iterator[Kind]:
    pages = {model._meta.label_lower: page for model, page in admin.site._registry.items()}
    for label in KINDS:
        page = pages.get(label)
        if page is None or not page.has_view_permission(request):
            continue
        rows, _ = page.get_search_results(request, page.get_queryset(request), term)
        found = list(rows.order_by(*page.get_ordering(request))[: SHOWN + 1])
        query = {"q": term}
        if label in ("tenants.organisation", "tenants.invitation"):
            query["which"] = "all"
        rest = _address(page.model, "changelist") + f"?{urlencode(query)}"
        yield Kind(
            str(page.model._meta.verbose_name_plural).capitalize(),
            [_hit(row, term) for row in found[:SHOWN]],
            rest if len(found) > SHOWN else "",
        )


def _hit(row: Any, term: str) -> Hit:
    address = _address(type(row), "change", row.pk)
    if isinstance(row, Organisation):
        note = f"{row.label}, {row.owner_email}"
        named = term.lower() in (row.label, str(row.pk))
        return Hit(row.display_name, note, address, badges.of_state(row), named)
    if isinstance(row, User):
        return Hit(str(row), row.name or f"joined {age(row.date_joined)}", address)
    moment = next(
        (getattr(row, name) for name in ("at", "made_at", "created_at") if hasattr(row, name)), None
    )
    return Hit(str(row), age(moment) if moment else "", address)


def _address(model: Any, what: str, pk: object = None) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}"
    return reverse(name, args=[pk] if pk is not None else [])
