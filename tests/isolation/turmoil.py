"""What goes on while the crowd asks: roles change, tokens come and go, organisations are made,
used and purged. Each thread looks at every answer that it gets, as the crowd does."""

from __future__ import annotations

import json
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from django.conf import settings
from django.db import connections

from audit.actors import Actor
from rbac import roles
from tenants import purging, schemas
from tests.isolation.markers import seen
from tests.isolation.world import API, ROLE, TOKEN, Tenant, make_tenant, session, spec

PAUSE = 0.02
_CSRF = "a" * 32


class Turmoil:
    """`did` counts what was done; `wrong` says what should not have been."""

    def __init__(self, port: int, tenants: list[Tenant]) -> None:
        self.tenants = tenants
        self.origin = f"http://127.0.0.1:{port}"
        self.over = threading.Event()
        self.did: Counter[str] = Counter()
        self.wrong: list[str] = []

    @contextmanager
    def going_on(self) -> Iterator[None]:
        jobs = (self.change_roles, self.issue_and_revoke, self.make_and_purge, self.make_and_purge)
        threads = [threading.Thread(target=self._repeat, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(120)

    def _repeat(self, job: Callable[[int], None]) -> None:
        turn = 0
        try:
            while not self.over.wait(PAUSE) and len(self.wrong) < 10:
                job(turn)
                turn += 1
        except BaseException:
            self.wrong.append(traceback.format_exc())
        finally:
            connections.close_all()

    def change_roles(self, turn: int) -> None:
        """What the role allows changes under everybody who is asking."""
        tenant = self.tenants[turn % len(self.tenants)]
        by = Actor.system(f"test-{tenant.marker}")
        roles.update(
            tenant.organisation,
            ROLE,
            spec(tenant.marker, turn),
            actor=by,
            reason=f"turn {tenant.marker}",
        )
        self.did["roles changed"] += 1

    def issue_and_revoke(self, turn: int) -> None:
        """Through the API: a token is good at once, and at once no more."""
        tenant = self.tenants[turn % len(self.tenants)]
        headers = {
            "Cookie": f"{settings.SESSION_COOKIE_NAME}={session(tenant, tenant.owner)};"
            f" csrftoken={_CSRF}",
            "X-CSRFToken": _CSRF,
        }
        wanted = {"name": f"short {tenant.marker}", "scopes": ["settings:read"]}
        with httpx.Client(base_url=self.origin, timeout=120) as client:
            made = self._ask(
                client, tenant, "POST", "/api/security/tokens", headers, 201, body=wanted
            ).json()
            own = {TOKEN: made["token"]}
            self._ask(client, tenant, "GET", "/api/organisation", own, 200)
            path = f"/api/security/tokens/{made['record']['id']}"
            self._ask(client, tenant, "DELETE", path, headers, 204)
            self._ask(client, tenant, "GET", "/api/organisation", own, 401)
        self.did["tokens issued and revoked"] += 1

    def make_and_purge(self, turn: int) -> None:
        """A schema is made, used, dropped; the next one is another's. What was shows nowhere."""
        tenant = make_tenant(canary=True)
        label, email = tenant.organisation.label, tenant.organisation.owner_email
        own = {TOKEN: tenant.secrets["api"]}
        with httpx.Client(base_url=self.origin, timeout=120) as client:
            for path in API[: 1 + turn % len(API)]:
                filled = path.format(id=tenant.organisation.pk)
                self._ask(client, tenant, "GET", filled, own, 200)
            left = purging.purge_canary(
                label=label, email=email, actor=Actor.system("test"), reason="isolation"
            )
            if left or schemas.schema_exists(tenant.organisation.schema_name):
                self.wrong.append(f"left of {label}: {left}")
            gone = self._ask(client, tenant, "GET", "/api/organisation", own, 401)
            if tenant.marker in gone.text:
                self.wrong.append(f"{label} shows after it was purged")
        self.did["organisations made and purged"] += 1

    def _ask(
        self,
        client: httpx.Client,
        tenant: Tenant,
        method: str,
        path: str,
        headers: dict[str, str],
        status: int,
        body: Any = None,
    ) -> httpx.Response:
        answer = client.request(
            method,
            path,
            headers={"Host": tenant.host, "Content-Type": "application/json", **headers},
            content=None if body is None else json.dumps(body),
        )
        if answer.status_code != status:
            self.wrong.append(f"{method} {path} {answer.status_code} {answer.text[:200]}")
        whole = answer.content + str(answer.headers).encode()
        if foreign := seen(whole) - {tenant.marker}:
            self.wrong.append(f"LEAK of {foreign} to {tenant.marker} at {path}")
        self.did["requests"] += 1
        return answer
