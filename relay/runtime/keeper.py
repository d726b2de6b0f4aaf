"""Keeps one organisation connected: registers, holds, renews, comes back (relay-protocol 6.3)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from django.conf import settings
from django.db import DatabaseError

from relay.runtime import counters
from relay.runtime.backoff import Backoff
from relay.runtime.calls import Means
from relay.runtime.credential import Credential, NoCredential, Wallet
from relay.runtime.database import Database
from relay.runtime.dial import Refused, Unreachable, dial
from relay.runtime.link import Ending, Link
from relay.runtime.phone_tokens import PhoneTokens
from relay.runtime.report import Line, Reporter
from relay.runtime.roster import Served
from relay.wire.frames import ErrorCode, Register
from relay.wire.identity import Identity, IdentityError
from tenants.sealing import SealError

# A relay that acknowledges and then drains would get 140 connections a second from upstream's
# instance. We come back at once this often within a minute, then with back-off.
AT_ONCE = 3
AT_ONCE_WINDOW = 60.0
QUIET_SECONDS = 30.0  # how long a renewal waits for requests in flight
LATER_BY = 1.0  # seconds by which a renewed lease must outlive the one in use

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What all organisations of the process share."""

    database: Database
    tokens: PhoneTokens
    means: Means
    reporter: Reporter
    dials: asyncio.Semaphore


class Keeper:
    """Runs until it is cancelled; cancelling closes the connection."""

    def __init__(self, served: Served, around: Surroundings) -> None:
        self._served = served
        self._around = around
        self._backoff = Backoff(settings.RUNTIME_BACKOFF, settings.RUNTIME_BACKOFF_MAX)
        self._session = ""
        self._wallet: Wallet | None = None
        self._link: Link | None = None
        self._wake = asyncio.Event()
        self._at_once: deque[float] = deque(maxlen=AT_ONCE)
        self._line = Line(served.organisation)
        self._log = log.bind(organisation=str(served.organisation), instance=served.instance_id)

    async def run(self) -> None:
        try:
            while True:
                self._wake.clear()
                wait = await self._attempt()
                self._line.wait(wait)
                self._say()
                if wait > 0:
                    await self._rest(wait)
        finally:
            self._around.reporter.forget(self._line)

    async def nudge(self) -> None:
        """Something about the organisation changed: look at open channels, and stop waiting."""
        self._wake.set()
        await self.revalidate()

    async def revalidate(self) -> None:
        if self._link is not None:
            await self._link.revalidate()

    # --- one attempt -----------------------------------------------------------------------------

    async def _attempt(self) -> float:
        """Registers and holds the connection; returns how many seconds to wait before the next."""
        try:
            if self._wallet is None:
                self._wallet = Wallet(self._around.database, self._served)
            wallet = self._wallet
            credential = await wallet.credential()
            link = await self._register(self._served.identity(), credential)
        except NoCredential as error:
            return self._failed(str(error))
        except (SealError, IdentityError) as error:
            return self._failed(f"the registration or the signing key cannot be opened: {error}")
        except DatabaseError as error:
            return self._failed(f"no lease could be signed ({type(error).__name__})")
        except Unreachable as error:
            counters.unreachable()
            return self._failed(str(error))
        except Refused as error:
            return self._refused(error, credential)
        counters.connected()
        self._backoff.forget()
        self._link = link
        self._line.connect(credential.kind, credential.expires_at)
        self._say()
        self._log.info("connected", by=credential.kind)
        try:
            ending = await self._hold(link, credential, wallet)
        finally:
            self._link = None
            self._wake.clear()  # what it said concerned the connection that was
            self._line.disconnect()
            self._say()
        return self._ended(ending, link, credential)

    async def _register(self, identity: Identity, credential: Credential) -> Link:
        """Raises Refused and Unreachable."""
        resuming = bool(self._session)
        register = Register(
            license_token=credential.token,
            session_token=self._session,
            instance_hint=self._served.instance_id if resuming else self._served.instance_host,
            client_version=settings.VERSION,
            identity_pub_key=identity.public_key,
        )
        async with self._around.dials:
            socket, acknowledged = await dial(register)
        if acknowledged.instance_id != self._served.instance_id:
            # Phones would be shown an id that leads elsewhere (F78).
            socket.transport.abort()
            self._session = ""
            raise Unreachable("the relay gave another instance id than this organisation's")
        self._session = acknowledged.session_token
        return Link(
            socket,
            served=self._served,
            identity=identity,
            tokens=self._around.tokens,
            means=self._around.means,
            changed=self._channels_changed,
        )

    async def _hold(self, link: Link, credential: Credential, wallet: Wallet) -> Ending:
        """Until the connection ends. A fresher lease is signed in time, and taken up at a quiet
        moment by registering again: that closes the phones' channels, so not mid-request."""
        serving = asyncio.create_task(link.serve())
        try:
            while credential.renew_at is not None:
                pause = max(1.0, credential.renew_at - time.time())
                if (await asyncio.wait({serving}, timeout=pause))[0]:
                    break
                fresh = await self._fresher(credential, wallet)
                if fresh is None:
                    credential = _try_again_later(credential)
                    continue
                wallet.keep(fresh)
                await self._quiet(link, serving)
                link.end(Ending.RENEWED)
            return await serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            link.cut()  # a task that is cancelled before it began closes nothing

    async def _fresher(self, credential: Credential, wallet: Wallet) -> Credential | None:
        """A lease that outlives this one; None when there is none (a trial that ends, billing that
        lapsed, a database that is away): then this one is used to its end."""
        try:
            fresh = await wallet.new_lease()
        except (NoCredential, DatabaseError, SealError) as error:
            self._log.warning("lease not renewed", error=type(error).__name__)
            return None
        if (fresh.expires_at or 0.0) < (credential.expires_at or 0.0) + LATER_BY:
            return None
        return fresh

    async def _quiet(self, link: Link, serving: asyncio.Task[Ending]) -> None:
        idle = asyncio.create_task(link.idle())
        await asyncio.wait(
            {serving, idle}, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        idle.cancel()

    # --- what comes of it ------------------------------------------------------------------------

    def _failed(self, text: str) -> float:
        if text != self._line.last_error:
            self._log.warning("not connected", error=text)
        self._line.fail(text)
        return self._backoff.next()

    def _refused(self, error: Refused, credential: Credential) -> float:
        counters.refused(error.code)
        if self._session and error.code in (ErrorCode.AUTH_FAILED, ErrorCode.INSTANCE_NOT_FOUND):
            # The session is gone; a fresh registration says what is wrong, if anything is.
            self._session = ""
            self._line.fail(str(error))
            return 0.0
        if error.code in (ErrorCode.LICENSE_INVALID, ErrorCode.LICENSE_EXPIRED) and self._wallet:
            self._wallet.refused(credential)
        return self._failed(str(error))

    def _ended(self, ending: Ending, link: Link, credential: Credential) -> float:
        self._log.info("disconnected", ending=ending.name.lower())
        match ending:
            case Ending.RENEWED:
                return 0.0
            case Ending.DRAINED:
                self._line.fail("the relay is restarting")
                return 0.0 if self._may_come_at_once() else self._backoff.next()
            case Ending.LICENCE:
                if self._wallet:
                    self._wallet.refused(credential)
                self._line.fail("the relay withdrew the credential")
                return settings.RUNTIME_BACKOFF_MAX
            case Ending.LOST:
                self._line.fail(link.last_words)
                return self._backoff.next()

    def _may_come_at_once(self) -> bool:
        now = time.monotonic()
        if len(self._at_once) == AT_ONCE and self._at_once[0] > now - AT_ONCE_WINDOW:
            return False
        self._at_once.append(now)
        return True

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            # Not wait_for(): in Python 3.11 it may lose a cancellation.
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _channels_changed(self, channels: int) -> None:
        self._line.active_channels = channels
        self._say()

    def _say(self) -> None:
        self._around.reporter.changed(self._line)


def _try_again_later(credential: Credential) -> Credential:
    """Half-way to the end, then half of the rest: never a loop, never only once."""
    left = max(0.0, (credential.expires_at or 0.0) - time.time())
    return replace(credential, renew_at=time.time() + max(5.0, left / 2))
