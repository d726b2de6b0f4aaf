"""The organisations of a run: canaries that signed up through the page, with API tokens and phones.

Canaries, because their sign-up needs no mail and counts towards no cap; in every other way they are
organisations like any other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.db import connections

from pulsecloud.proof.browser import UnexpectedAnswer
from pulsecloud.proof.canary import Canary, until

Made = TypeVar("Made")

AT_ONCE: Final = 4  # sign-ups at a time; the worker provisions as many
CONNECTED_WITHIN: Final = 60.0
PATHS: Final = (  # what people and programs look at, and how often
    *["/api/organisation"] * 4,
    *["/api/settings/relay/status"] * 2,
    "/api/security/devices",
    "/api/security/tokens",
    "/api/admin/users",
    "/api/admin/roles",
    "/api/audit",
    "/api/orgs/{id}",
)


@dataclass
class Tenant:
    """One organisation. `secrets` are API tokens, `link` pairs a phone."""

    canary: Canary
    secrets: list[str] = field(default_factory=list)
    link: str = ""

    @property
    def label(self) -> str:
        return self.canary.label

    def requests(self, paths: tuple[str, ...] = PATHS) -> list[dict[str, Any]]:
        """One GET of each path, with the tokens in turn; for `bench.load.asking`."""
        return [
            {
                "path": path.format(id=self.canary.organisation),
                "host": self.canary.host,
                "headers": {"X-API-Token": self.secrets[number % len(self.secrets)]},
                "label": self.label,
            }
            for number, path in enumerate(paths)
        ]

    def connected(self) -> bool:
        answer = self.canary.inside("GET", "/api/settings/relay/status")
        return answer.status_code == 200 and bool(answer.json()["connected"])


def make(count: int, *, phones: int, noisy_tokens: int, say: Callable[[str], None]) -> list[Tenant]:
    """So many organisations, all reachable. The first `phones` have one, and the last has
    `noisy_tokens` API tokens. Raises UnexpectedAnswer."""
    done, lock = 0, threading.Lock()

    def one(number: int) -> Tenant:
        nonlocal done
        try:
            tenant = Tenant(signed_up())
            for _ in range(noisy_tokens if number == count - 1 else 1):
                tenant.secrets.append(api_token(tenant.canary))
            await_connected(tenant)
            if number < phones:
                tenant.link = tenant.canary.mint_device()[0]
        finally:
            connections.close_all()
        with lock:
            done += 1
            if done % 20 == 0:
                say(f"{done} of {count} organisations are there")
        return tenant

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(count)))


def await_connected(tenant: Tenant) -> None:
    """No phone can pair before. Raises UnexpectedAnswer."""
    until(
        lambda: tenant.connected() or None,
        CONNECTED_WITHIN,
        f"{tenant.label} did not reach the relay",
    )


def signed_up() -> Canary:
    """A new organisation, active, its owner signed in on its host. Raises UnexpectedAnswer."""
    canary = Canary("load")
    canary.sign_up()
    canary.await_provisioned()
    return canary


def api_token(canary: Canary) -> str:
    made = canary.inside("POST", "/api/security/tokens", json={"name": "load", "scopes": ["*"]})
    if made.status_code != 201:
        raise UnexpectedAnswer(f"making a token answered {made.status_code}: {made.text[:200]}")
    secret: str = made.json()["token"]
    return secret


def connected_in_the_end(tenants: list[Tenant]) -> int:
    """How many the runtime reports at the relay. Nobody is asked: the noisy one would be refused."""
    from relay.models import RelayStatus

    return RelayStatus.objects.filter(
        connected=True, organisation_id__in=[tenant.canary.organisation for tenant in tenants]
    ).count()
