"""An organisation that is connected to the relay, its owner's browser and a phone's token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from relay.models import Registration, RelayStatus
from tenants.models import Organisation, User
from tests.accounts.browsing import Visitor
from tests.factories import owner_of
from tests.runtime.conftest import Tenant, make_tenant

RELAY = "wss://relay.example.test"
PUBLIC = "https://cloud.example.test:8443"


@dataclass
class Site:
    """`owner` is signed in on the organisation's host; `ask` calls its API with the phone's token."""

    tenant: Tenant
    owner: Visitor

    @property
    def organisation(self) -> Organisation:
        return self.tenant.organisation

    @property
    def host(self) -> str:
        return self.organisation.instance_host

    @property
    def registration(self) -> Registration:
        return self.tenant.registration

    def visit(self, path: str, **rest: Any) -> Any:
        return self.owner.get(path, self.host, **rest)

    def post(self, path: str, data: Any = None, **rest: Any) -> Any:
        return self.owner.post(path, data, self.host, **rest)

    def ask(
        self, path: str, *, method: str = "GET", body: Any = None, token: str | None = None
    ) -> Any:
        return call(self.host, path, method=method, body=body, token=token or self.tenant.token)

    def say(self, **facts: Any) -> None:
        """What the runtime last said of the connection."""
        RelayStatus.objects.filter(organisation=self.organisation).update(
            **{"seen_at": timezone.now(), **facts}
        )

    def member(self, user: User) -> Visitor:
        return Visitor().sign_in(user, self.host)


def call(host: str, path: str, *, method: str = "GET", body: Any = None, token: str = "") -> Any:
    headers: Any = {"HTTP_X_API_TOKEN": token} if token else {}
    text = body if isinstance(body, str | bytes) else json.dumps(body) if body is not None else ""
    return Client().generic(
        method, path, text, content_type="application/json", HTTP_HOST=host, **headers
    )


@pytest.fixture
def site(db: None, settings: Any) -> Site:
    settings.RELAY_PUBLIC_URL = RELAY
    settings.PUBLIC_URL = PUBLIC
    tenant = make_tenant()
    owner = Visitor().sign_in(owner_of(tenant.organisation), tenant.organisation.instance_host)
    site = Site(tenant, owner)
    site.say(connected=True, connected_at=timezone.now(), credential="lease")
    return site
