"""API tokens and paired phones: list, make, rename, revoke (design section 4, rule 4).

A phone is its mobile token. Everybody manages their own; who administers people, everybody's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rbac import mobile, scopes, token_owners, tokens
from rbac.api import actor_of
from rbac.models import ApiToken
from rbac.token_serializers import (
    RECORD,
    MadeTokenSerializer,
    NewTokenSerializer,
    RenameSerializer,
    TokenRecordSerializer,
)
from tenants.door import Knock, Refused, TenantAPIView, requires
from tenants.http import bodies, etags, listing
from tenants.http.openapi import ETAG, IF_MATCH, SESSION_ONLY, listed
from tenants.http.problems import Problem

_ORDERING = {
    "createdAt": "created_at",
    "name": "name",
    "lastUsedAt": "last_used_at",
    "expiresAt": "expires_at",
}
_FILTERS = {"name": "name__icontains", "prefix": "prefix"}
_PARAMETERS = listed(
    ordering=_ORDERING,
    user="A person's id, or `all`: for who administers people. Without it the caller's own.",
    state="`live` (without it), `ended` or `all`. Ended ones are kept for 30 days.",
    name="Part of the name.",
    prefix="The first 8 digits of the secret.",
)
_RECORD: dict[str, Any] = {
    "id": "5b0f4a52-6f0e-4bbd-9f8a-2f1d5f0b7c11",
    "name": "Nightly report",
    "prefix": "3fa81c09",
    "scopes": ["settings:read"],
    "metadata": {},
    "userId": "0c2f0a9e-2d0b-4c64-8d0e-0b8f1c3d5a77",
    "createdAt": "2026-03-02T09:00:00Z",
    "expiresAt": "2026-05-31T09:00:00Z",
    "unusedExpiresAt": None,
    "lastUsedAt": None,
    "revokedAt": None,
}
_PHONE = _RECORD | {
    "name": "Anna's phone",
    "scopes": [mobile.SCOPE],
    "metadata": {"purpose": mobile.PURPOSE},
    "expiresAt": None,
    "lastUsedAt": "2026-03-02T09:04:00Z",
}


class _Tokens(TenantAPIView):
    by_contract = True
    device = False

    def shown(self) -> Response:
        rows = _wanted(self.knock, device=self.device)
        return listing.page(
            self.knock.request,
            rows,
            tokens.public_record,
            ordering=_ORDERING,
            default="-createdAt",
            filters=_FILTERS,
        )


class _Token(TenantAPIView):
    by_contract = True
    device = False

    def show(self, token_id: UUID) -> Response:
        return _tagged(token_owners.reachable(self.knock, token_id, device=self.device))

    def rename(self, request: HttpRequest, token_id: UUID) -> Response:
        self.refuse_read_tokens()
        name = bodies.text(self.body(known=frozenset({"name"})), "name", required=True, longest=120)
        token = token_owners.reachable(self.knock, token_id, device=self.device)
        try:
            token = tokens.rename(
                self.knock.known_organisation,
                token.pk,
                name=name,
                actor=actor_of(self.knock),
                expecting=lambda current: etags.require(request, _editable(current)),
            )
        except tokens.TokenMissing:
            raise Problem(409, "token_ended", "It has ended and keeps its name.") from None
        return _tagged(token)

    def revoke(self, request: HttpRequest, token_id: UUID) -> HttpResponse:
        """204, also when it was revoked before."""
        self.refuse_read_tokens()
        token = token_owners.reachable(self.knock, token_id, device=self.device)
        tokens.revoke(
            self.knock.known_organisation,
            token.pk,
            actor=actor_of(self.knock),
            expecting=lambda current: etags.require(request, _editable(current)),
        )
        return HttpResponse(status=204)

    def refuse_read_tokens(self) -> None:
        """A person who may only read still manages their own tokens; a token that may only read
        does not, so what it takes is said here and not with `requires`."""
        if self.knock.token is not None:
            scopes.require(self.knock.token.scopes, "write", "settings")


class TokensView(_Tokens):
    """API tokens; phones are listed as devices."""

    @extend_schema(
        operation_id="listTokens",
        summary="API tokens",
        parameters=_PARAMETERS,
        responses=TokenRecordSerializer(many=True),
        examples=[OpenApiExample("One token", value=_RECORD, response_only=True)],
    )
    @requires("read", "settings")
    def get(self, request: Request) -> Response:
        return self.shown()

    @extend_schema(
        operation_id="createToken",
        summary="Make an API token",
        request=NewTokenSerializer,
        responses={201: MadeTokenSerializer, 409: None},
        extensions=SESSION_ONLY,
        examples=[
            OpenApiExample(
                "For a report",
                value={"name": "Nightly report", "scopes": ["settings:read"], "expiresInDays": 90},
                request_only=True,
            ),
            OpenApiExample(
                "Shown once",
                value={"token": "3fa81c09" + "0" * 56, "record": _RECORD},
                response_only=True,
                status_codes=["201"],
            ),
        ],
    )
    @requires("read", "settings")
    def post(self, request: Request) -> Response:
        """Makes a token that acts for the signed-in person; the secret is shown this once."""
        knock = self.knock
        if knock.token is not None:
            raise Refused(
                403, "session_required", "This takes a signed-in person, not an API token."
            )
        body = self.body(known=frozenset({"name", "scopes", "expiresInDays"}))
        days = _days(body)
        token, secret = tokens.issue(
            knock.known_organisation,
            user=knock.known_user,
            name=bodies.text(body, "name", required=True, longest=120),
            scopes=scopes.chosen(body.get("scopes")),
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
            actor=actor_of(knock),
        )
        made = {"token": secret, "record": tokens.public_record(token)}
        return Response(made, status=201, headers={"Cache-Control": "no-store"})


class TokenView(_Token):
    """One token, a phone's among them."""

    @extend_schema(
        operation_id="getToken",
        summary="One API token",
        parameters=[ETAG],
        responses=TokenRecordSerializer,
        examples=[OpenApiExample("A token", value=_RECORD, response_only=True)],
    )
    @requires("read", "settings")
    def get(self, request: Request, token_id: UUID) -> Response:
        return self.show(token_id)

    @extend_schema(
        operation_id="renameToken",
        summary="Rename an API token",
        parameters=[ETAG, IF_MATCH],
        request=RenameSerializer,
        responses={200: TokenRecordSerializer, 409: None},
        examples=[
            OpenApiExample("A name", value={"name": "Weekly report"}, request_only=True),
            RECORD,
        ],
    )
    @requires("read", "settings")
    def patch(self, request: Request, token_id: UUID) -> Response:
        return self.rename(self.knock.request, token_id)

    @extend_schema(
        operation_id="revokeToken",
        summary="Revoke an API token",
        parameters=[IF_MATCH],
        responses={204: None},
    )
    @requires("read", "settings")
    def delete(self, request: Request, token_id: UUID) -> HttpResponse:
        return self.revoke(self.knock.request, token_id)


class DevicesView(_Tokens):
    """Paired phones, and codes that wait for theirs."""

    device = True

    @extend_schema(
        operation_id="listDevices",
        summary="Paired phones",
        parameters=_PARAMETERS,
        responses=TokenRecordSerializer(many=True),
        examples=[OpenApiExample("One phone", value=_PHONE, response_only=True)],
    )
    @requires("read", "settings")
    def get(self, request: Request) -> Response:
        return self.shown()


class DeviceView(_Token):
    device = True

    @extend_schema(
        operation_id="getDevice",
        summary="One paired phone",
        parameters=[ETAG],
        responses=TokenRecordSerializer,
        examples=[OpenApiExample("A phone", value=_PHONE, response_only=True)],
    )
    @requires("read", "settings")
    def get(self, request: Request, token_id: UUID) -> Response:
        return self.show(token_id)

    @extend_schema(
        operation_id="renameDevice",
        summary="Rename a paired phone",
        parameters=[ETAG, IF_MATCH],
        request=RenameSerializer,
        responses={200: TokenRecordSerializer, 409: None},
        examples=[
            OpenApiExample("A name", value={"name": "Anna's phone"}, request_only=True),
            RECORD,
        ],
    )
    @requires("read", "settings")
    def patch(self, request: Request, token_id: UUID) -> Response:
        return self.rename(self.knock.request, token_id)

    @extend_schema(
        operation_id="removeDevice",
        summary="Shut a phone out",
        parameters=[IF_MATCH],
        responses={204: None},
    )
    @requires("read", "settings")
    def delete(self, request: Request, token_id: UUID) -> HttpResponse:
        """Shuts the phone out at once; it has to be paired again."""
        return self.revoke(self.knock.request, token_id)


def _wanted(knock: Knock, *, device: bool) -> QuerySet[ApiToken]:
    """The rows that the query asks for. Raises Problem 400 `invalid_user`, `invalid_state` and
    Refused 403 `forbidden` for other people's."""
    query = knock.request.GET
    kind = ApiToken.objects.filter(purpose=mobile.PURPOSE if device else "")
    living = tokens.living()
    match query.get("state", "live"):
        case "live":
            rows = kind.filter(pk__in=living.values("pk"))
        case "ended":
            rows = kind.exclude(pk__in=living.values("pk"))
        case "all":
            rows = kind
        case _:
            raise Problem(400, "invalid_state", "state must be live, ended or all.")
    mine = knock.known_user.pk
    wanted = query.get("user", "").strip()
    if wanted == "all":
        person = None
    else:
        try:
            person = UUID(wanted) if wanted else mine
        except ValueError:
            raise Problem(400, "invalid_user", "user must be a person's id, or all.") from None
    if person != mine and not token_owners.administers(knock):
        raise token_owners.not_yours()
    return rows if person is None else rows.filter(user=person)


def _days(body: dict[str, Any]) -> int | None:
    days, most = body.get("expiresInDays"), tokens.LONGEST.days
    if days is None:
        return None
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= most:
        raise Problem(400, "invalid_expiry", f"expiresInDays must be a number from 1 to {most}.")
    return days


def _editable(token: ApiToken) -> dict[str, Any]:
    """What a tag is of: use moves `lastUsedAt` and must not stand in the way of a change."""
    record = tokens.public_record(token)
    return {name: record[name] for name in ("id", "name", "revokedAt")}


def _tagged(token: ApiToken) -> Response:
    headers = {"ETag": etags.of(_editable(token))}
    return Response(tokens.public_record(token), headers=headers)
