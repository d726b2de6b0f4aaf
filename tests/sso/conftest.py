"""An organisation with single sign-on through a provider of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from rbac.sso import discovery
from tenants.models import Organisation, SsoProvider
from tests.factories import make_organisation
from tests.sso.idp import Idp, running
from tests.sso.people import make_provider


@pytest.fixture(autouse=True)
def _reachable(settings: Any) -> Iterator[None]:
    """The test's providers live on this machine and speak http."""
    settings.SSO_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    discovery._metadata.clear()
    discovery._keys.clear()
    discovery._failed.clear()
    yield


@pytest.fixture
def idp() -> Iterator[Idp]:
    with running() as idp:
        yield idp


@pytest.fixture
def organisation(db: None) -> Organisation:
    return make_organisation()


@pytest.fixture
def provider(organisation: Organisation, idp: Idp) -> SsoProvider:
    return make_provider(organisation, idp)
