"""API tokens of paired phones, and the answer on every other /api/ address."""

from __future__ import annotations

from datetime import timedelta

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actors import Actor
from rbac import mobile, tokens
from rbac.token_serializers import MADE, MadeTokenSerializer, NewPhoneSerializer
from tenants.door import Knock, Refused, TenantAPIView, requires
from tenants.http import bodies

UNUSED_FOR = timedelta(minutes=10)  # design section 6: a pairing code that nobody scans dies


def actor_of(knock: Knock) -> Actor:
    if knock.token is not None:
        return Actor("token", str(knock.token.id), knock.token.name)
    return Actor.person(knock.known_user)


class RelayMobileToken(TenantAPIView):
    """POST /api/security/tokens/relay-mobile {name?} -> {token, record} (relay-protocol section 20)."""

    by_contract = True

    @extend_schema(
        operation_id="createPhoneToken",
        summary="Mint the token of a phone",
        description="Minted with an API token that ends, the phone's ends at the same time.",
        request=NewPhoneSerializer,
        responses={200: MadeTokenSerializer, 409: None},
        examples=[
            OpenApiExample("A name", value={"name": "Anna's phone"}, request_only=True),
            MADE,
        ],
    )
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
            # Whoever holds a token for a while must not make an access of it that outlives it.
            expires_at=None if knock.token is None else knock.token.expires_at,
            unused_for=UNUSED_FOR,
            actor=actor_of(knock),
        )
        return Response({"token": secret, "record": tokens.public_record(token)})


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
