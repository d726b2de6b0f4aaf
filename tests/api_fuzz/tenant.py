"""An organisation that is fuzzed: its owner's credentials, and things whose ids fill the addresses.

Everything that belongs to it carries its marker, so that one foreign byte anywhere is seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from rbac import mobile, tokens
from rbac.models import Role
from relay.models import RelayStatus
from tenants.models import MemberInvitation, MemberRole, Organisation, SsoProvider, User
from tenants.schemas import in_schema
from tests.factories import add_member, make_token, make_user, owner_of, sign_in
from tests.product import Product

TEST = Actor.system("test")
CSRF = "a" * 32  # cookie and header are compared with each other


@dataclass
class Tenant:
    product: Product
    organisation: Organisation
    marker: str
    session: str
    token: str
    phone: str
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> User:
        return owner_of(self.organisation)

    @property
    def host(self) -> str:
        return f"{self.organisation.label}.localhost:{self.product.web[1]}"

    def headers(self, how: str) -> dict[str, str]:
        """Of the owner's `session`, their `token` with every scope, or their `phone`."""
        if how == "session":
            cookies = _cookies(self.session)
            return {"Host": self.host, "Cookie": cookies, "X-CSRFToken": CSRF}
        return {"Host": self.host, "X-API-Token": self.token if how == "token" else self.phone}

    def leaver(self) -> dict[str, str]:
        """The session of a member who may go."""
        client, user = Client(), _colleague(self)
        sign_in(client, user, self.organisation)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        return {**self.headers("session"), "Cookie": _cookies(session)}

    def id_for(self, parameter: str, *, fresh: bool = False) -> str:
        """The id of something of this organisation; a fresh one for what is going to be removed."""
        if fresh:
            return str(_MAKERS[parameter](self))
        if parameter not in self.kept:
            self.kept[parameter] = str(_MAKERS[parameter](self))
        return self.kept[parameter]

    def named(self) -> str:
        return f"{self.marker}-{secrets.token_hex(3)}"


def tenant(product: Product) -> Tenant:
    """Signs an organisation up through the product's doors."""
    marker = f"mark{secrets.token_hex(5)}"
    member = product.signed_up(f"Org {marker}", enter=True)
    organisation, now = member.organisation, timezone.now()
    RelayStatus.objects.update_or_create(
        organisation=organisation,
        defaults={"connected": True, "connected_at": now, "credential": "lease", "seen_at": now},
    )
    return Tenant(
        product,
        organisation,
        marker,
        member.browser._cookies[member.host][settings.SESSION_COOKIE_NAME],
        make_token(organisation),
        make_token(organisation, mobile.SCOPE),
    )


def _cookies(session: str) -> str:
    return f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={CSRF}"


def _colleague(t: Tenant) -> User:
    user = make_user(f"{t.named()}@example.test")
    return add_member(t.organisation, MemberRole.VIEWER, user)


def _invitation(t: Tenant) -> Any:
    made = MemberInvitation.objects.create(
        organisation=t.organisation,
        email=f"{t.named()}@example.test",
        role=MemberRole.VIEWER,
        token_hash=secrets.token_hex(32),
        sent_at=timezone.now() - timedelta(hours=1),
        expires_at=timezone.now() + timedelta(days=1),
    )
    return made.pk


def _role(t: Tenant) -> str:
    with in_schema(t.organisation):
        role = Role.objects.create(id=t.named(), name=t.named())
        role.permissions.create(action="read", resource="nodes")
        return role.id


def _token(t: Tenant, *scopes: str, purpose: str = "") -> Any:
    made, _ = tokens.issue(
        t.organisation, user=t.owner, name=t.named(), scopes=scopes, purpose=purpose, actor=TEST
    )
    return made.id


def _provider(t: Tenant) -> str:
    made = SsoProvider.objects.create(
        organisation=t.organisation,
        slug=t.named(),
        name=t.named(),
        issuer="https://login.invalid",
        client_id=t.named(),
    )
    return made.slug


_MAKERS: dict[str, Callable[[Tenant], Any]] = {
    "organisation_id": lambda t: t.organisation.pk,
    "user_id": lambda t: _colleague(t).pk,
    "username": lambda t: _colleague(t).pk,
    "invitation": _invitation,
    "role_id": _role,
    "token_id": lambda t: _token(t, "settings:read"),
    "device_id": lambda t: _token(t, mobile.SCOPE, purpose=mobile.PURPOSE),
    "slug": _provider,
    "event_id": lambda t: Event.objects.filter(organisation=t.organisation.pk).latest("pk").uuid,
}
