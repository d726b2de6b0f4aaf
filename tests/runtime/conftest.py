"""An organisation with a phone's token, and the runtime between scripted parties."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.actors import Actor
from rbac import mobile, tokens
from relay.models import Registration
from tenants.models import Organisation
from tests.factories import make_organisation, owner_of
from tests.runtime.stage import Stage, ids, running, scripted_relay_stage

ACTOR = Actor.system("test")


@dataclass
class Tenant:
    """An active organisation, what it is registered as, and a token of its owner's phone."""

    organisation: Organisation
    registration: Registration
    token: str
    token_id: Any

    @property
    def instance_id(self) -> str:
        return self.registration.instance_id


def make_tenant() -> Tenant:
    organisation = make_organisation()
    token, secret = tokens.issue(
        organisation,
        user=owner_of(organisation),
        name="Phone",
        scopes=[mobile.SCOPE],
        purpose=mobile.PURPOSE,
        actor=ACTOR,
    )
    registration = Registration.objects.get(organisation=organisation)
    return Tenant(organisation, registration, secret, token.pk)


@pytest.fixture
def tenant(live_db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def quick(settings: Any, tmp_path: Path) -> Any:
    """Pauses in fractions of a second, yet long enough to be told from none on a busy machine."""
    settings.RUNTIME_BACKOFF = 0.2
    settings.RUNTIME_BACKOFF_MAX = 3.0
    settings.RUNTIME_ANSWER_TIMEOUT = 2.0
    settings.RUNTIME_HEARTBEAT = 0.3
    settings.DATA_DIR = tmp_path
    return settings


@pytest.fixture
async def stage(quick: Any, tenant: Tenant) -> AsyncIterator[Stage]:
    """The runtime serves `tenant` at a scripted relay."""
    async with (
        scripted_relay_stage() as stage,
        running(quick, only=ids(tenant.organisation), RELAY_SERVER=stage.url),
    ):
        yield stage
