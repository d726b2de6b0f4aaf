"""An organisation with everything that could open it, all made while it was active."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from audit.actors import Actor
from billing import refresh
from rbac import mobile
from tenants import lifecycle, links
from tenants.accounts import magic_links
from tenants.models import (
    LinkPurpose,
    Organisation,
    OutboxMail,
    Runtime,
    SsoProvider,
    State,
    SuspendedBy,
    User,
)
from tenants.people import member_invitations
from tests.accounts.browsing import Visitor, field
from tests.factories import make_organisation, make_token, make_user, owner_of, sign_in

ACTOR = Actor.system("test")
BASE = "localhost"


class Place:
    """`owner` and `invited` are people; what they could use is prepared before anything is shut."""

    def __init__(self) -> None:
        self.organisation = make_organisation()
        self.host = self.organisation.instance_host
        self.owner = owner_of(self.organisation)
        self.invited = make_user()
        self.refresh = ""
        self.token = make_token(self.organisation)
        self.phone = make_token(self.organisation, mobile.SCOPE)
        self.provider = SsoProvider.objects.create(
            organisation=self.organisation,
            slug="work",
            name="Work",
            enabled=True,
            issuer="https://idp.example.test",
            client_id="pulse",
        )
        self.invitation = member_invitations.invite(
            organisation=self.organisation,
            email=str(self.invited.email),
            role="viewer",
            actor=Actor.person(self.owner),
            by=self.owner,
        )
        mail = OutboxMail.objects.filter(recipient=self.invited.email).latest("pk").body
        self.join_path = next(word.split(":8000")[-1] for word in mail.split() if "/join/" in word)
        self.browser = Visitor().sign_in(self.owner, BASE).sign_in(self.owner, self.host)
        page = self.browser.post(f"/o/{self.organisation.label}/")
        self.hand_off = field(page, "token")
        self.sign_in_link = self._link(LinkPurpose.SIGN_IN)
        magic_links.request(email=str(self.owner.email))
        mail = OutboxMail.objects.filter(recipient=self.owner.email).latest("pk").body
        self.magic_path = next(
            word.split(":8000")[-1] for word in mail.split() if "magic-link/verify" in word
        )

    def _link(self, purpose: LinkPurpose) -> str:
        from datetime import timedelta

        return links.mint(
            purpose=purpose,
            user=self.owner,
            target=f"/o/{self.organisation.label}/",
            life=timedelta(minutes=5),
        )

    def go_external(self) -> None:
        """Makes it an organisation with an external runtime; `refresh` is that one's token."""
        Organisation.objects.filter(pk=self.organisation.pk).update(runtime=Runtime.EXTERNAL)
        self.organisation.refresh_from_db()
        self.refresh = refresh.issue_refresh_token(self.organisation, actor=ACTOR)

    def shut(self, state: str) -> None:
        if state == State.SUSPENDED:
            lifecycle.suspend(organisation=self.organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        else:
            lifecycle.soft_delete(organisation=self.organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        self.organisation.refresh_from_db()

    # --- ways to knock; a failing view answers instead of raising ------------------------------

    def session(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The owner's session on the organisation's host."""
        return _asked(self.browser.at(self.host), self.host, method, path, body, headers)

    def base(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The owner's session on the base domain."""
        return _asked(self.browser.at(BASE), BASE, method, path, body, headers)

    def program(self, secret: str, method: str, path: str, body: Any = None) -> Any:
        return _asked(Client(), self.host, method, path, body, {"x-api-token": secret})

    def stranger(self, host: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return _asked(Client(), host, method, path, body, headers)

    def of(self, user: User, method: str, path: str, body: Any = None) -> Any:
        """Somebody else's session on the base domain."""
        client = Client()
        sign_in(client, user)
        return _asked(client, BASE, method, path, body, {})


def _asked(
    client: Client, host: str, method: str, path: str, body: Any, headers: dict[str, str]
) -> Any:
    """`body` is sent as a form when it is a dict under the key `form`, else as JSON."""
    client.raise_request_exception = False
    headers = {"host": host, **headers}
    if isinstance(body, dict) and "form" in body:
        return client.post(path, body["form"], headers=headers)
    text = "" if body is None else json.dumps(body)
    return client.generic(method, path, text, content_type="application/json", headers=headers)
