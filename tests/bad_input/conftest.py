"""A running product to throw things at, and the credentials of those who throw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client

from rbac import mobile
from tenants.models import Organisation
from tests import databases, secrets_seen
from tests.databases import looking_into
from tests.factories import make_token, make_user, sign_in
from tests.product import Product, running_product


@dataclass
class Target:
    """`sessions` are cookie values by who and where: owner at base or organisation, staff at base."""

    product: Product
    organisation: Organisation
    sessions: dict[tuple[str, str], str]
    token: str
    phone: str

    def host(self, kind: str) -> str:
        """The Host header of the base domain or of the organisation."""
        label = f"{self.organisation.label}." if kind == "organisation" else ""
        return f"{label}localhost:{self.product.web[1]}"


@pytest.fixture(scope="session")
def target(worker_id: str, database_name: str, live_db_session: None) -> Iterator[Target]:
    """One product a worker process; Django looks into its database only inside tests."""
    name = databases.create(f"{worker_id}_bad_input")
    try:
        # Addresses are drawn at random, so that no limit per address hides what is behind it.
        with running_product(database=name, TRUSTED_PROXIES="127.0.0.1") as product:
            with looking_into(name):
                made = _target(product)
            yield made
    finally:
        connections.close_all()
        databases.drop(name)


@pytest.fixture
def looking(target: Target, live_db: None) -> Iterator[None]:
    assert target.product.database is not None
    with looking_into(target.product.database):
        yield


def _target(product: Product) -> Target:
    member = product.signed_up(enter=True)
    organisation, base = member.organisation, member.browser.base_host
    sessions = {
        ("owner", "base"): member.browser._cookies[base][settings.SESSION_COOKIE_NAME],
        ("owner", "organisation"): member.browser._cookies[member.host][
            settings.SESSION_COOKIE_NAME
        ],
        ("staff", "base"): _staff_session(),
    }
    made = Target(
        product,
        organisation,
        sessions,
        make_token(organisation),
        make_token(organisation, mobile.SCOPE),
    )
    for secret in (*sessions.values(), made.token, made.phone):
        secrets_seen.seen(secret, "credential")
    return made


def _staff_session() -> str:
    client = Client()
    sign_in(client, make_user(is_staff=True, is_superuser=True))
    return client.cookies[settings.SESSION_COOKIE_NAME].value
