"""Organisations with members, their sessions and tokens, for measurements on a running product."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.gets import get


@dataclass
class Tenant:
    """One organisation: `sessions` are cookie values, `tokens` secrets, one each per member."""

    host: str
    schema_name: str
    sessions: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def by_session(self, path: str) -> list[bytes]:
        from django.conf import settings

        name = settings.SESSION_COOKIE_NAME
        return [get(path, self.host, Cookie=f"{name}={value}") for value in self.sessions]

    def by_token(self, path: str) -> list[bytes]:
        return [get(path, self.host, X_API_Token=secret) for secret in self.tokens]


def make_tenant(*, members: int) -> Tenant:
    """An active organisation as provisioning makes it. Django must be set up."""
    from django.conf import settings
    from django.test import Client

    from tests import factories

    organisation = factories.make_organisation()
    tenant = Tenant(organisation.instance_host, organisation.schema_name)
    people = [factories.owner_of(organisation)]
    people += [factories.add_member(organisation, "admin") for _ in range(members - 1)]
    for person in people:
        client = Client()
        factories.sign_in(client, person, organisation)
        tenant.sessions.append(client.cookies[settings.SESSION_COOKIE_NAME].value)
        tenant.tokens.append(factories.make_token(organisation, user=person))
    return tenant
