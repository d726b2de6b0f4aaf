"""The organisation's views as plain REST framework views: authentication, and nothing else."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from pulsecloud import urls_organisation
from rbac.models import ApiToken
from tenants import door
from tenants.models import Membership, Organisation, User


class Token(BaseAuthentication):
    """As REST framework's own token authentication: the token, then its person."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        secret = request.META.get("HTTP_X_API_TOKEN")
        if secret is None:
            return None
        token = ApiToken.objects.get(token_hash=hashlib.sha256(secret.encode()).hexdigest())
        return User.objects.get(pk=token.user, is_active=True), token


@lru_cache(maxsize=1)
def _organisation() -> Organisation:
    return Organisation.objects.get(schema_name=os.environ["BENCH_SCHEMA"])


@lru_cache(maxsize=64)
def _membership(user: Any) -> Membership:
    return Membership.objects.get(organisation=_organisation(), user=user)


def dispatch(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """REST framework's own, with what the handler wants to know of its organisation, from memory."""
    self.knock = door.Knock(request, _organisation(), door.Requirement("read", "organisation"))
    return APIView.dispatch(self, request, *args, **kwargs)


def initial(self: Any, request: Request, *args: Any, **kwargs: Any) -> None:
    APIView.initial(self, request, *args, **kwargs)
    self.knock.user, self.knock.token = request.user, request.auth
    self.knock.membership = _membership(request.user.pk)
    self.knock.decide = lambda action, resource: True


door.TenantAPIView.dispatch = dispatch  # type: ignore[method-assign]
door.TenantAPIView.initial = initial  # type: ignore[method-assign]
door.TenantAPIView.authentication_classes = [Token, SessionAuthentication]
door.TenantAPIView.permission_classes = [IsAuthenticated]

urlpatterns = urls_organisation.urlpatterns
