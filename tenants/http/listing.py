"""Lists of the organisation's API: paging, ordering, filters, all from the query string.

The contract's lists are plain JSON arrays, so the page stands in the query (`limit`, `offset`) and
the whole in headers: `X-Total-Count`, and `Link` with rel next and prev (RFC 8288).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework.response import Response

from tenants.http.problems import Problem

LIMIT: Final = 100
MOST: Final = 1000
_Row = TypeVar("_Row", bound=Model)


def page(
    request: HttpRequest,
    rows: QuerySet[_Row] | Sequence[Any],
    show: Callable[[Any], dict[str, Any]] | None = None,
    *,
    showing: Callable[[Sequence[Any]], Callable[[Any], dict[str, Any]]] | None = None,
    ordering: Mapping[str, str] | None = None,
    default: str = "",
    filters: Mapping[str, str] | None = None,
) -> Response:
    """One page of `rows`, each as `show` makes it, or what `showing` makes of the whole page: that
    is for what has to be read for all of its rows together.

    `ordering` maps what `?ordering=` may name to a model field (`-` before it turns it round);
    `filters` maps a query parameter to a look-up. Raises Problem 400 `invalid_limit`,
    `invalid_offset`, `invalid_ordering`.
    """
    query = request.GET
    if isinstance(rows, QuerySet):
        for name, lookup in (filters or {}).items():
            if query.get(name, "").strip():
                rows = rows.filter(**{lookup: query[name].strip()[:300]})
        rows = rows.order_by(*_order(query.get("ordering", "") or default, ordering or {}))
        total = rows.count()
    else:
        total = len(rows)
    limit, offset = whole(query, "limit", LIMIT, most=MOST, least=1), whole(query, "offset", 0)
    found = list(rows[offset : offset + limit])
    if showing is not None:
        show = showing(found)
    answer = Response([show(row) if show else row for row in found])
    answer["X-Total-Count"] = str(total)
    links = []
    if offset + limit < total:
        links.append(_link(request, limit, offset + limit, "next"))
    if offset:
        links.append(_link(request, limit, max(0, offset - limit), "prev"))
    if links:
        answer["Link"] = ", ".join(links)
    return answer


def whole(
    query: Mapping[str, Any], name: str, default: int, *, least: int = 0, most: int = 10**9
) -> int:
    """A whole number of the query. Raises Problem 400 `invalid_<name>`."""
    text = str(query.get(name, "")).strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise Problem(400, f"invalid_{name}", f"{name} must be a number from {least} to {most}.")
    return int(text)


def _order(wanted: str, known: Mapping[str, str]) -> list[str]:
    if not wanted:
        return ["pk"]
    field = known.get(wanted.removeprefix("-"))
    if field is None:
        raise Problem(400, "invalid_ordering", f"ordering must be one of {', '.join(known)}.")
    return [f"-{field}" if wanted.startswith("-") else field, "pk"]


def _link(request: HttpRequest, limit: int, offset: int, rel: str) -> str:
    query = {**request.GET.dict(), "limit": limit, "offset": offset}
    return f'<{request.path}?{urlencode(query)}>; rel="{rel}"'
