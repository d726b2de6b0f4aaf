"""Everything that one relay process holds: what was configured, what is connected, what is known."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import weakref
from dataclasses import dataclass
from typing import Any

from relay.server import sessions
from relay.server.addresses import Budget, Network, networks
from relay.server.counters import Counters
from relay.server.credentials import Verifier
from relay.server.keyring import Keyring
from relay.server.storage import Storage
from relay.server.switchboard import ALIVE, Instance, LineLost, State, Switchboard
from relay.wire.frames import Drain, ErrorCode, message

DRAIN_REASON = "the relay is restarting"


class TurnedAway(Exception):
    """The peer is told `code` and this text in an ERROR, and closed."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, except where the name says otherwise."""

    first_frame: float
    echo: float
    ping_interval: float
    ping_timeout: float
    session_life: float
    sweep: float
    expiry_jitter: float
    drain: float
    database: float
    max_channels: int
    connects_per_minute: int


class Station:
    def __init__(
        self,
        limits: Limits,
        verifier: Verifier,
        *,
        full_product: bool,
        origins: list[str],
        public_url: str,
        proxies: list[Network],
        metrics_token: str,
    ) -> None:
        """`full_product`: without keys for leases it is not ready; alone, any key will do."""
        self.limits = limits
        self.verifier = verifier
        self.full_product = full_product
        self.origins = frozenset(o.rstrip("/").lower() for o in origins)
        self.public_url = public_url
        self.proxies = proxies
        self.metrics_token = metrics_token
        self.counters = Counters()
        self.switchboard = Switchboard(
            self.counters,
            max_channels=limits.max_channels,
            alive=max(ALIVE, 1.5 * limits.ping_interval),
        )
        self.storage = Storage(timeout=limits.database)
        self.budget = Budget(limits.connects_per_minute)
        self.draining = False
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._blocked: dict[str, float] = {}  # instance → when it was last seen to be blocked

    def turn(self, instance_id: str) -> asyncio.Lock:
        """Held while an instance registers: one connection after the other decides, is stored and
        takes over."""
        lock = self._turns.get(instance_id)
        if lock is None:
            lock = self._turns[instance_id] = asyncio.Lock()
        return lock

    # --- blocked instances ---

    async def look(self, instance_id: str = "") -> None:
        """Closes live instances that have been blocked: one, or whichever. Raises StorageDown."""
        live = [instance_id] if instance_id else list(self.switchboard.instances)
        blocked = await self.storage.run(lambda: sessions.blocked_among(live))
        now = time.monotonic()
        for blocked_id in blocked:
            self._blocked[blocked_id] = now
            instance = self.switchboard.instances.get(blocked_id)
            if instance is not None:
                self.counters.blocked += 1
                self.switchboard.evict(instance)

    def blocked_since(self, instance_id: str, moment: float) -> bool:
        """Whether it was seen to be blocked after `moment` (monotonic): a registration that read
        the database just before is not yet live, so `look` could not close it."""
        return self._blocked.get(instance_id, -1.0) >= moment

    async def sweep(self) -> None:
        """What is due every sweep interval. Raises StorageDown."""
        began = time.monotonic()
        await self.look()
        live = list(self.switchboard.instances)
        life = self.limits.session_life
        await self.storage.run(lambda: sessions.tidy(live, life=life))
        self.switchboard.forget_old_takeovers()
        for instance_id in [i for i, seen in self._blocked.items() if seen < began - 60.0]:
            del self._blocked[instance_id]

    # --- ends ---

    def end_at(self, instance: Instance, ends: float | None) -> asyncio.TimerHandle | None:
        """Closes the connection once its credential has run out, a little later each, so that they
        do not all come back at once. By the monotonic clock: a clock that jumps cuts nobody off."""
        if ends is None:
            return None
        delay = max(0.0, ends - time.time()) + random.uniform(0.0, self.limits.expiry_jitter)  # noqa: S311

        def end() -> None:
            self.counters.expired += 1
            self.switchboard.evict(instance)

        return asyncio.get_running_loop().call_later(delay, end)

    async def drain(self) -> None:
        """Lets nobody in any more, asks everybody who is in to leave, once, and waits until they
        have left, for the drain timeout at most (relay-protocol section 13)."""
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.drain
        notice = message(Drain(DRAIN_REASON))
        for channel in self.switchboard.channels():
            if channel.state is State.OPEN:
                channel.offer(notice)
            channel.settle(ErrorCode.SERVER_DRAINING)
        instances = list(self.switchboard.instances.values())
        told = [asyncio.ensure_future(_tell(instance, notice)) for instance in instances]
        while self.switchboard.instances and loop.time() < deadline:  # noqa: ASYNC110  # once
            await asyncio.sleep(0.02)
        for task in told:
            task.cancel()

    # --- health ---

    async def blocking(self) -> list[tuple[str, str]]:
        """What keeps the relay from being ready: pairs of stable code and sentence."""
        facts: list[tuple[str, str]] = []
        leases, licences = self.verifier.lease_keys, self.verifier.licence_keys
        if leases.problem:
            facts.append(("key_file_unusable", "The file of lease keys cannot be used."))
        if self.full_product and not leases.keys():
            facts.append(
                (
                    "entitlement_key_missing",
                    "No key is configured that leases are verified with "
                    "(PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY).",
                )
            )
        elif not leases.keys() and not licences.keys():
            facts.append(("no_key", "No key is configured that credentials are verified with."))
        if self.draining:
            facts.append(("draining", "The relay is shutting down."))
        if not await self.storage.answers():
            facts.append(("database_unreachable", "The database does not answer."))
        return facts


async def _tell(instance: Instance, notice: bytes) -> None:
    with contextlib.suppress(LineLost):
        await instance.deliver(notice)


def from_settings(settings: Any, *, full_product: bool) -> Station:
    """Raises keyring.BadKey and ValueError for settings that cannot be used."""
    limits = Limits(
        first_frame=settings.RELAY_FIRST_FRAME_TIMEOUT,
        echo=settings.RELAY_ECHO_TIMEOUT,
        ping_interval=settings.RELAY_PING_INTERVAL,
        ping_timeout=settings.RELAY_PING_TIMEOUT,
        session_life=settings.RELAY_SESSION_LIFE,
        sweep=settings.RELAY_SWEEP_INTERVAL,
        expiry_jitter=settings.RELAY_EXPIRY_JITTER,
        drain=settings.RELAY_DRAIN_TIMEOUT,
        database=settings.RELAY_DATABASE_TIMEOUT,
        max_channels=settings.RELAY_MAX_CHANNELS,
        connects_per_minute=settings.RELAY_CONNECTS_PER_MINUTE,
    )
    verifier = Verifier(
        licence_keys=Keyring(settings.RELAY_PUBLIC_KEY or ""),
        lease_keys=Keyring(
            settings.RELAY_ENTITLEMENT_PUBLIC_KEY, file=settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE
        ),
        grant_issuer=settings.RELAY_GRANT_ISSUER,
        grant_audience=settings.RELAY_GRANT_AUDIENCE,
    )
    return Station(
        limits,
        verifier,
        full_product=full_product,
        origins=settings.RELAY_APP_ORIGINS,
        public_url=settings.RELAY_PUBLIC_URL,
        proxies=networks(settings.TRUSTED_PROXIES),
        metrics_token=settings.METRICS_TOKEN or "",
    )
