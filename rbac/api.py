"""API tokens of paired phones, and the answer on every other /api/ address."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actors import Actor
from rbac import mobile, tokens
from tenants import bodies
from tenants.door import Knock, Refused, TenantAPIView, requires
from tenants.problems import Problem

UNUSED_FOR = timedelta(minutes=10)  # design section 6: a pairing code that nobody scans dies


def actor_of(knock: Knock) -> Actor:
    if knock.token is not None:
        return Actor("token", str(knock.token.id), knock.token.name)
    return Actor.person(knock.known_user)


class RelayMobileToken(TenantAPIView):
    """POST /api/security/tokens/relay-mobile {name?} -> {token, record} (relay-protocol section 20)."""

    by_contract = True

    @requires("write", "settings", capability="relay")
    def post(self, request: Request) -> Response:
        name = bodies.text(self.body(), "name", longest=120) or "Paired phone"
        knock = self.knock
        token, secret = tokens.issue(
            knock.known_organisation,
            user=knock.known_user,
            name=name,
            scopes=[mobile.SCOPE],
            purpose=mobile.PURPOSE,
            unused_for=UNUSED_FOR,
            actor=actor_of(knock),
        )
        return Response({"token": secret, "record": tokens.public_record(token)})


class TokenView(TenantAPIView):
    """DELETE /api/security/tokens/<uuid>: revokes; 204, also when it was revoked before."""

    @requires("write", "settings")
    def delete(self, request: Request, token_id: UUID) -> HttpResponse:
        try:
            tokens.revoke(self.knock.known_organisation, token_id, actor=actor_of(self.knock))
        except tokens.TokenMissing:
            raise Problem(404, "not_found", "There is no such token.") from None
        return HttpResponse(status=204)


class Elsewhere(TenantAPIView):
    """Every /api/ address that has no view, so that it too answers only after the door."""

    by_contract = True
    schema = None  # no part of the described API

    @requires("read", "nodes")
    def get(self, request: Request, rest: str) -> Response:
        if mobile.needs_monitoring(request.method or "", request.path):
            raise mobile.not_attached()
        raise Refused(404, "not_found", "There is nothing here.")

    post = put = patch = delete = get
