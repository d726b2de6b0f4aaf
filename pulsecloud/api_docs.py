"""The API's description on the base domain: a page to read, and the documents themselves.

/api/docs, /api/docs/<name>        Swagger UI, from our own host (its policy: pulsecloud/headers.py)
/api/<name>.yaml                   the OpenAPI document, with this installation's addresses
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tenants.http.openapi import as_yaml

MEDIA_TYPE: Final = "application/yaml"  # RFC 9512


@dataclass(frozen=True)
class Document:
    title: str
    urlconf: str
    about: str


DOCUMENTS: Final = {
    "openapi": Document(
        "An organisation's API",
        settings.TENANT_URLCONF,
        "What an organisation's people and programs can do, on the organisation's own host.",
    ),
    "openapi-platform": Document(
        "The base domain's API",
        settings.ROOT_URLCONF,
        "Sign-up, your organisations and invitations, life cycle, leases.",
    ),
}


@lru_cache(maxsize=8)
def _rendered(name: str, public_url: str) -> bytes:
    """The code does not change while the process runs, so the document does not either."""
    return as_yaml(DOCUMENTS[name].urlconf, public_url=public_url)


@require_safe
def openapi(request: HttpRequest, name: str) -> HttpResponse:
    """The document as YAML; anybody may read it."""
    if name not in DOCUMENTS:
        raise Http404
    answer = HttpResponse(_rendered(name, settings.PUBLIC_URL), content_type=MEDIA_TYPE)
    answer["Content-Disposition"] = f'inline; filename="{name}.yaml"'
    return answer


@require_safe
def page(request: HttpRequest, name: str = "openapi") -> HttpResponse:
    """The document to read."""
    if name not in DOCUMENTS:
        raise Http404
    context = {
        "name": name,
        "document": DOCUMENTS[name],
        "documents": [(key, each, key == name) for key, each in DOCUMENTS.items()],
    }
    return render(request, "api_docs.html", context)
