"""What an organisation registers with: its attached licence, else its lease (design section 6)."""

from __future__ import annotations

import base64
import json
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from billing import leases
from relay.runtime.database import Database
from relay.runtime.roster import Served
from tenants.models import Organisation

RENEW_BEFORE = 30 * 60.0  # seconds before a lease's end (hosted-contract section 15.4)
LICENCE_GRACE = 7 * 86400.0  # seconds: how long relay and instance honour an expired licence
DISTRUST = 3600.0  # seconds for which the lease stands in for a licence that the relay refused


class NoCredential(Exception):
    """There is nothing to register with now; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Credential:
    """`kind` is licence or lease; the times are Unix seconds. `renew_at` is None for a licence."""

    kind: str
    token: str = field(repr=False)
    expires_at: float | None
    renew_at: float | None


class Wallet:
    """Keeps one organisation's lease as long as it is good: a relay that is away for an hour does
    not cost a lease every five minutes."""

    def __init__(self, database: Database, served: Served) -> None:
        self._database = database
        self._organisation = served.organisation
        self._licence = served.licence()
        self._distrusted_until = 0.0
        self._lease: Credential | None = None

    async def credential(self) -> Credential:
        """What to register with now. Raises NoCredential and DatabaseError."""
        now = time.time()
        if self._licence and now >= self._distrusted_until:
            expires_at = _expiry(self._licence)
            if expires_at is None or now < expires_at + LICENCE_GRACE:
                return Credential("licence", self._licence, expires_at, None)
        if self._lease is None or now >= (self._lease.renew_at or 0.0):
            self._lease = await self.new_lease()
        return self._lease

    async def new_lease(self) -> Credential:
        """A lease signed now. Raises NoCredential and DatabaseError."""
        try:
            signed = await self._database.run(partial(_issue, self._organisation))
        except leases.LeaseRefused as refused:
            raise NoCredential(str(refused)) from None
        now, ends = time.time(), signed.expires_at.timestamp()
        # Spread, or all that started together would renew together.
        before = min(RENEW_BEFORE, max(0.0, ends - now) / 2) * random.uniform(0.8, 1.2)  # noqa: S311
        return Credential("lease", signed.token, ends, ends - before)

    def keep(self, lease: Credential) -> None:
        self._lease = lease

    def refused(self, credential: Credential) -> None:
        """The relay did not take it: a new lease next time; for a licence, the lease for a while."""
        self._lease = None
        if credential.kind == "licence":
            self._distrusted_until = time.time() + DISTRUST


def _issue(organisation: UUID) -> leases.SignedLease:
    row = Organisation.objects.filter(pk=organisation).first()
    if row is None:
        raise leases.LeaseRefused("not_active", "The organisation is gone.")
    return leases.issue(row, issued_for="runtime")


def _expiry(token: str) -> float | None:
    """The `exp` of a licence whose signature was checked when it was attached."""
    try:
        segment = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        return float(claims["exp"]) or None
    except (KeyError, IndexError, TypeError, ValueError):
        return None
