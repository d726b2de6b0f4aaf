"""What the rows of the matrix name: `{role}` in an address, `{colleague}` in a body.

Each is made when it is needed, in the organisation that the column asks about, and undone with the
cell's transaction.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.test import Client
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from rbac import mobile, tokens
from rbac.models import Role
from tenants import versions
from tenants.deletion import receipts
from tenants.deletion.blast import blast_radius
from tenants.models import (
    MemberInvitation,
    MemberRole,
    Organisation,
    Removal,
    SsoProvider,
    User,
)
from tenants.schemas import in_schema
from tests.factories import add_member, make_user, owner_of, sign_in, unique

BASE, ORGANISATION = "base", "organisation"
TEST = Actor.system("test")


@dataclass
class Asker:
    """One column: a person or none, perhaps a token, and the organisation they ask about."""

    organisation: Organisation
    user: User | None = None
    secret: str = ""
    _cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self) -> None:
        """Sessions of this person on the base domain and on the organisation's host."""
        if self.user is None or self.secret:
            return
        for kind in (BASE, ORGANISATION):
            client = Client()
            sign_in(client, self.user, self.organisation if kind == ORGANISATION else None)
            self._cookies[kind] = client.cookies[settings.SESSION_COOKIE_NAME].value

    def at(self, kind: str) -> Client:
        """A fresh browser with this person's session there, or a program with the token."""
        client = Client(raise_request_exception=False)
        if kind in self._cookies:
            client.cookies[settings.SESSION_COOKIE_NAME] = self._cookies[kind]
        return client

    def host(self, kind: str) -> str:
        return self.organisation.instance_host if kind == ORGANISATION else settings.BASE_DOMAIN


class Things:
    """Makes what one row needs: once for an organisation, and what is personal once for a person."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, UUID, UUID | None], str] = {}

    def filled(self, text: str, asker: Asker) -> str:
        return re.sub(r"\{(\w+)\}", lambda m: self.get(m[1], asker), text)

    def get(self, name: str, asker: Asker) -> str:
        person = asker.user.pk if asker.user and name in PERSONAL else None
        key = (name, asker.organisation.pk, person)
        if key not in self.made:
            self.made[key] = str(MAKERS[name](Maker(asker)))
        return self.made[key]


@dataclass(frozen=True)
class Maker:
    asker: Asker

    @property
    def organisation(self) -> Organisation:
        return self.asker.organisation

    @property
    def owner(self) -> User:
        return owner_of(self.organisation)

    @property
    def person(self) -> User:
        """Who asks; where nobody is signed in, somebody."""
        return self.asker.user or self.owner

    def token(self, user: User, *scopes: str, purpose: str = "") -> UUID:
        made, _ = tokens.issue(
            self.organisation, user=user, name="x", scopes=scopes, purpose=purpose, actor=TEST
        )
        return made.id

    def invitation(self, email: str = "") -> UUID:
        """An open one, sent an hour ago."""
        made = MemberInvitation.objects.create(
            organisation=self.organisation,
            email=email or f"{unique('mail')}@example.test",
            role=MemberRole.VIEWER,
            token_hash=secrets.token_hex(32),
            invited_by=self.owner,
            sent_at=timezone.now() - timedelta(hours=1),
            expires_at=timezone.now() + timedelta(days=1),
        )
        return made.pk

    def role(self) -> str:
        """A role of the organisation's own, which nobody has."""
        with in_schema(self.organisation):
            role = Role.objects.create(id=unique("role")[:40], name=unique("Role"))
            role.permissions.create(action="read", resource="nodes")
        versions.move_on(self.organisation.pk)
        return role.id

    def provider(self) -> str:
        """A single sign-on provider that is switched off."""
        made = SsoProvider.objects.create(
            organisation=self.organisation,
            slug=unique("idp")[:40].lower(),
            name="Staff directory",
            issuer="https://login.invalid",
            client_id="pulse",
        )
        return made.slug

    def receipt(self) -> UUID:
        """Of a deletion, as if the organisation were gone."""
        return receipts.make(
            organisation=self.organisation,
            removal=Removal(
                organisation=self.organisation, requested_by="owner", due_at=timezone.now()
            ),
            blast=blast_radius(self.organisation),
            copy=None,
            copies=0,
            copies_until=None,
        ).pk

    def event(self) -> UUID:
        made = trail.record(action="test", actor=TEST, organisation=self.organisation.pk)
        return made.uuid


MAKERS: dict[str, Callable[[Maker], Any]] = {
    "organisation": lambda t: t.organisation.pk,
    "label": lambda t: t.organisation.label,
    "nobody": lambda t: uuid4(),
    "nothing": lambda t: "nothing",  # no token, no link
    "builtin": lambda t: "viewer",  # a role that everybody has and nobody changes
    "monitoring": lambda t: "ai/sessions",
    "document": lambda t: "openapi-platform",
    "name": lambda t: unique("name"),
    "mail": lambda t: f"{unique('mail')}@example.test",
    "me": lambda t: t.person.pk,
    "owner": lambda t: t.owner.pk,
    "colleague": lambda t: add_member(t.organisation, MemberRole.VIEWER).pk,
    "stranger": lambda t: make_user().pk,
    "my_token": lambda t: t.token(t.person, "settings:read"),
    "colleagues_token": lambda t: t.token(
        add_member(t.organisation, MemberRole.VIEWER), "settings:read"
    ),
    "my_phone": lambda t: t.token(t.person, mobile.SCOPE, purpose=mobile.PURPOSE),
    "colleagues_phone": lambda t: t.token(
        add_member(t.organisation, MemberRole.VIEWER), mobile.SCOPE, purpose=mobile.PURPOSE
    ),
    "role": Maker.role,
    "provider": Maker.provider,
    "event": Maker.event,
    "receipt": Maker.receipt,
    "invitation": lambda t: t.invitation(),
    "my_invitation": lambda t: t.invitation((t.asker.user and t.asker.user.email) or ""),
}
PERSONAL = frozenset({"me", "my_token", "my_phone", "my_invitation"})
