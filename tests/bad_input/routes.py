"""Every address that web answers, read from the URLconfs so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

BASE, ORGANISATION = "base", "organisation"
# What stands in no URLconf: health, static files, and what nobody answers.
ELSEWHERE = ("livez", "readyz", "metrics", "static/{}", "{}", "{}/{}")

_VARIABLE = re.compile(r"<[^>]+>|\(\?P<\w+>[^()]*\)")


@dataclass(frozen=True)
class Route:
    """`path` has `{}` for every variable part; `host` says on which kind of host it lives."""

    host: str
    path: str

    @property
    def family(self) -> str:
        """Addresses that one piece of code stands behind; what the random requests are counted by."""
        first, _, rest = self.path.strip("/").partition("/")
        if first == "api":  # on organisations' hosts one door stands before all of it
            inner = f"/{rest.partition('/')[0]}" if self.host == BASE else ""
            return f"{self.host} api{inner}"
        return f"{self.host} {first}" if first in ("accounts", "admin") else f"{self.host} pages"

    @property
    def api(self) -> bool:
        return self.path.startswith("/api/") and not self.path.startswith("/api/docs")


def routes() -> list[Route]:
    found = [
        Route(host, path)
        for host, urlconf in (
            (BASE, settings.ROOT_URLCONF),
            (ORGANISATION, settings.TENANT_URLCONF),
        )
        for path in sorted({*_paths(get_resolver(urlconf)), *(f"/{each}" for each in ELSEWHERE)})
    ]
    assert len(found) > 60
    return found


def families() -> dict[str, list[Route]]:
    sorted_in: dict[str, list[Route]] = {}
    for route in routes():
        sorted_in.setdefault(route.family, []).append(route)
    return sorted_in


def _paths(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        text = prefix + _plain(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern, text)
        else:
            yield text


def _plain(pattern: Any) -> str:
    """A pattern with `{}` for its variables; fails for a regular expression of an unknown kind."""
    text = _VARIABLE.sub("{}", str(pattern)).removeprefix("^")
    text = re.sub(r"(\$|\\Z)$", "", text)
    # A `+` of a path() is itself: no role's id may hold one, so `/roles/+new` is nobody's.
    odd = r"[\\^$*?\[\]()|]" if isinstance(pattern, RoutePattern) else r"[\\^$*+?\[\]()|]"
    assert not re.search(odd, text), f"cannot make addresses of {pattern}"
    return text
