"""Every view of an organisation's host declares what it requires, or is listed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rbac.authorizer import ACTIONS
from tenants.door import Requirement, TenantAPIView, requires, tenant_page

# Open to who has no session yet, each with the reason.
OPEN = {
    "hand-off": "consumes a single-use token and makes this host's session",
    "sign-out": "ends this host's session, whoever has it",
    "sso/": "the ways in of an organisation that switched single sign-on on",
    "sso/<str:slug>/login": "goes to the identity provider",
    "sso/<str:slug>/callback": "makes this host's session of the identity provider's answer",
}


def patterns(resolver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield route, entry.callback


def undeclared(found: Iterator[tuple[str, Any]]) -> list[str]:
    """Routes with a handler that says nothing of what it requires."""
    wrong = []
    for route, callback in found:
        view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
        if view is None:
            good = getattr(callback, "behind_the_door", False) and isinstance(
                getattr(callback, "requirement", None), Requirement
            )
        else:
            methods = [m for m in getattr(view, "handled_methods", list)() if m != "HEAD"]
            good = (
                issubclass(view, TenantAPIView)
                and bool(methods)
                and all(
                    isinstance(getattr(getattr(view, m.lower()), "requirement", None), Requirement)
                    for m in methods
                )
            )
        if not good:
            wrong.append(route)
    return wrong


def test_every_view_declares() -> None:
    found = [e for e in patterns(get_resolver(settings.TENANT_URLCONF)) if e[0] not in OPEN]
    assert found
    assert undeclared(iter(found)) == []


def test_open_views_exist() -> None:
    routes = {route for route, _ in patterns(get_resolver(settings.TENANT_URLCONF))}
    assert set(OPEN) <= routes


def test_declared_actions_are_of_the_vocabulary() -> None:
    for route, callback in patterns(get_resolver(settings.TENANT_URLCONF)):
        view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
        handlers = (
            [callback]
            if view is None
            else [getattr(view, m.lower(), None) for m in ("GET", "POST", "PUT", "PATCH", "DELETE")]
        )
        for handler in handlers:
            requirement = getattr(handler, "requirement", None)
            assert requirement is None or requirement.action in ACTIONS, route


class Silent(TenantAPIView):
    def get(self, request: Request) -> Response:
        return Response({})


class HalfSilent(TenantAPIView):
    @requires("read", "nodes")
    def get(self, request: Request) -> Response:
        return Response({})

    def delete(self, request: Request) -> Response:
        return Response({})


class Beside(APIView):
    @requires("read", "nodes")
    def get(self, request: Request) -> Response:
        return Response({})


class Declared(TenantAPIView):
    @requires("read", "nodes")
    def get(self, request: Request) -> Response:
        return Response({})


@requires("read", "nodes")
def page_beside(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@tenant_page
def silent_page(request: HttpRequest, knock: Any) -> HttpResponse:
    return HttpResponse()


@tenant_page
@requires("read", "nodes")
def declared_page(request: HttpRequest, knock: Any) -> HttpResponse:
    return HttpResponse()


def test_the_test_bites() -> None:
    views = {
        "silent": Silent.as_view(),
        "half-silent": HalfSilent.as_view(),
        "beside": Beside.as_view(),
        "declared": Declared.as_view(),
        "page-beside": page_beside,
        "silent-page": silent_page,
        "declared-page": declared_page,
    }
    wrong = undeclared(iter(views.items()))
    assert wrong == ["silent", "half-silent", "beside", "page-beside", "silent-page"]


@pytest.mark.django_db
@pytest.mark.parametrize("view", [Silent.as_view(), silent_page])
def test_an_undeclared_view_serves_nobody(view: Any, rf: Any) -> None:
    with pytest.raises(TypeError, match="does not say what it requires"):
        view(rf.get("/"))


@pytest.mark.django_db
def test_a_rest_view_beside_the_door_lets_nobody_in(rf: Any) -> None:
    request = rf.get("/")
    assert Beside.as_view()(request).status_code == 403


@pytest.mark.django_db
def test_options_tell_nothing() -> None:
    answer = Client().options("/api/organisation", HTTP_HOST="unknown-label.localhost")
    assert answer.status_code == 405
