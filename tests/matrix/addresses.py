"""Every address and method of both URLconfs, so that none can be missing from the matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from tenants.door import TenantAPIView
from tests.matrix.things import BASE, ORGANISATION

Address = tuple[str, str, str]  # host, method, pattern with {} for what varies
_VARIABLE = re.compile(r"<[^>]+>|\(\?P<\w+>[^()]*(?:\([^()]*\))?[^()]*\)")


def addresses() -> set[Address]:
    """Everything but the staff admin, whose addresses come from its registry."""
    return {
        (host, method, path)
        for host, urlconf in (
            (BASE, settings.ROOT_URLCONF),
            (ORGANISATION, settings.TENANT_URLCONF),
        )
        for path, view in _walk(get_resolver(urlconf), "/")
        if not path.startswith("/admin/")
        for method in methods_of(view)
    }


def methods_of(view: Any) -> set[str]:
    """What the view handles; a plain view does not say, so GET and POST are asked of each."""
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if isinstance(kind, type) and issubclass(kind, TenantAPIView):
        return set(kind.handled_methods()) - {"HEAD"}
    described = getattr(view, "documentation", None)
    named = {m.upper() for m in ("put", "patch", "delete") if hasattr(described, m)}
    return {"GET", "POST"} | named


def _walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        path = prefix + _plain(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


def _plain(pattern: Any) -> str:
    text = _VARIABLE.sub("{}", str(pattern))
    if isinstance(pattern, RoutePattern):
        return text
    text = re.sub(r"(\$|\\Z)$", "", text.removeprefix("^"))
    assert not re.search(r"[\\^$*+?\[\]()|]", text), f"cannot make an address of {pattern}"
    return text
