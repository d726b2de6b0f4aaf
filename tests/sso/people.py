"""Providers as an administrator would set them up, and people who come through them."""

from __future__ import annotations

import html
import re
from typing import Any

from audit.actors import Actor
from rbac.changes import roles_held
from rbac.sso import providers, values
from tenants.models import Organisation, SsoIdentity, SsoProvider
from tenants.schemas import in_schema
from tests.accounts.browsing import Visitor
from tests.factories import owner_of
from tests.sso.idp import CLIENT, Idp


def make_provider(
    organisation: Organisation, idp: Idp, slug: str = "work", **settings: Any
) -> SsoProvider:
    """Made and switched on by the owner. `groups` is its mapping."""
    groups = settings.pop("groups", {})
    actor = Actor.person(owner_of(organisation))
    given = {
        "name": "Work login",
        "issuer": idp.issuer,
        "client_id": CLIENT[0],
        "secret": CLIENT[1],
        **settings,
    }
    provider = providers.create(
        organisation=organisation, slug=slug, values=values.parse(given), actor=actor
    )
    if groups:
        providers.set_mapping(provider=provider, wanted=values.mapping(groups), actor=actor)
    return providers.enable(provider=provider, actor=actor)


def begin(visitor: Visitor, provider: SsoProvider, **data: str) -> str:
    """Presses the button of the sign-in page; the provider's address that the next page leads to."""
    host = provider.organisation.instance_host
    page = visitor.post(f"/sso/{provider.slug}/login", data, host=host)
    assert page.status_code == 200, page.content.decode()
    return address_in(page)


def address_in(page: Any) -> str:
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.content.decode())
    assert found, page.content.decode()
    return html.unescape(found[1])


def comes(visitor: Visitor, provider: SsoProvider, idp: Idp, **data: str) -> Any:
    """The whole way: button, provider, callback. What the callback answers."""
    path = idp.callback(begin(visitor, provider, **data))
    return visitor.get(path, host=provider.organisation.instance_host)


def code_in(page: Any) -> str:
    """The failure code that a page shows; empty where it shows none."""
    found = re.search(r"<code>([a-z_]+)</code>", page.content.decode())
    return found[1] if found else ""


def roles_of(organisation: Organisation, subject: str = "ann") -> list[str]:
    identity = SsoIdentity.objects.get(organisation=organisation, subject=subject)
    with in_schema(organisation):
        return roles_held(identity.user_id)
