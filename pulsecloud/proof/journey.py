"""The proof's steps: what a newcomer, a phone and an owner do, through the public doors only.

The canary's invitation is the one thing minted on the command line; everything else is HTTP and
WebSocket (design section 7). Each step returns its evidence or raises; a step that needs what an
earlier one made says so by reading it from the journey.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
from django.utils import timezone

from billing.models import Lease
from pulsecloud.proof import gauges
from pulsecloud.proof.browser import UnexpectedAnswer
from pulsecloud.proof.canary import Canary, Evidence, until
from relay.models import RelayStatus
from relay.phone import Phone, PhoneError
from relay.wire import instance_id

# How long each promise may take before the proof calls it broken, in seconds.
CONNECTED_WITHIN = 15.0
COUNTED_WITHIN = 10.0
REVOKED_WITHIN = 5.0
SUSPENDED_WITHIN = 5.0


class Journey(Canary):
    """A canary with a phone. `close` must be called; it never raises."""

    def __init__(self, patience: float = 1.0) -> None:
        """`patience` scales how long each step may take."""
        super().__init__("prove", patience=patience)
        self.loop = asyncio.new_event_loop()
        self.status: dict[str, Any] = {}
        self.link = ""
        self.token_id = ""
        self.phone: Phone | None = None
        self.instances_before = 0

    def steps(self) -> list[tuple[str, str, Callable[[], Evidence]]]:
        """(name, what it shows, how) in order."""
        return [
            ("signed_up", "invited and signed up", self.sign_up),
            ("provisioned", "organisation provisioned", self.await_provisioned),
            ("lease_issued", "entitlement lease issued", self.see_lease),
            ("relay_connected", "relay connected with no settings call", self.await_connected),
            ("qr_real", "QR carries the real instance id", self.read_qr),
            ("phone_paired", "phone paired with the QR alone, identity checked", self.pair),
            ("gauges_moved", "both relay gauges moved", self.see_gauges),
            ("request_answered", "sealed request answered", self.ask),
            ("token_revoked", "token revoked and the phone refused", self.revoke),
            ("suspended", "suspended, its sockets closed in time", self.suspend),
            ("purged", "purged, nothing left", self.purge),
        ]

    # --- the steps -------------------------------------------------------------------------------

    def sign_up(self) -> Evidence:
        """Notes first how many instances are connected: with this one it must be more."""
        with suppress(UnexpectedAnswer, httpx.HTTPError):  # a later step says what the relay lacks
            self.instances_before, _ = gauges.read()
        return super().sign_up()

    def see_lease(self) -> Evidence:
        """No door shows a lease before the runtime uses it, so its record is looked up."""
        lease = Lease.objects.filter(organisation_id=UUID(str(self.organisation))).first()
        if lease is None or lease.expires_at <= timezone.now():
            raise UnexpectedAnswer("no live entitlement lease is on record")
        return {
            "kid": lease.kid,
            "plan": lease.plan_version,
            "expires_at": lease.expires_at.isoformat(),
        }

    def await_connected(self) -> Evidence:
        def connected() -> dict[str, Any] | None:
            self.status = self.relay_status()
            return self.status if self.status["connected"] else None

        until(connected, CONNECTED_WITHIN * self.patience, lambda: f"not connected: {self.status}")
        if self.status["credential"] != "lease":
            raise UnexpectedAnswer(f"connected with a {self.status['credential']}, not the lease")
        return {"instance_id": self.status["instance_id"], "credential": "lease"}

    def read_qr(self) -> Evidence:
        self.link, secret, self.token_id = self.mint_device()
        qr = self.browser.expect(
            200, "GET", "/api/onboarding/qr", host=self.host, headers={"X-API-Token": secret}
        ).json()
        expected = instance_id.of_host(self.host.partition(":")[0])
        if not qr["instance_id"] == self.status["instance_id"] == expected:
            raise UnexpectedAnswer(f"the QR says {qr['instance_id']}, the formula says {expected}")
        if qr["deep_link"] != self.link:
            raise UnexpectedAnswer("the QR and the deep link differ")
        return {
            "instance_id": expected,
            "identity_fingerprint": qr["relay"]["identity_fingerprint"],
            "relay_url": qr["relay"]["url"],
        }

    def pair(self) -> Evidence:
        self.phone = self.connect(self.link)
        return {
            "channel": self.phone.channel,
            "identity_fingerprint": self.phone.identity_fingerprint,
            "signature": "verified",
        }

    def see_gauges(self) -> Evidence:
        """On a busy system others come and go, so that a gauge that did not move is looked at again,
        the apps' over a few reconnects."""
        before = self.instances_before
        instances = until(
            lambda: count if (count := gauges.read()[0]) > before else None,
            COUNTED_WITHIN * self.patience,
            f"{gauges.INSTANCES} was {before} before this instance came and did not rise",
        )
        for _ in range(5):
            with_phone = gauges.read()[1]
            self.hang_up()
            without = until(
                lambda: value if (value := gauges.read()[1]) < with_phone else None,  # noqa: B023
                2.0,
                None,
            )
            self.phone = self.connect(self.link)
            again = gauges.read()[1]
            if without is not None and again == without + 1:
                return {gauges.INSTANCES: [before, instances], gauges.APPS: [without, again]}
        raise UnexpectedAnswer(f"the gauges did not move: {gauges.read()}")

    def ask(self) -> Evidence:
        phone = self.live_phone()
        reply = self.loop.run_until_complete(phone.request("GET", "/api/organisation"))
        body = reply.json()
        if reply.status != 200 or body["id"] != str(self.organisation):
            raise UnexpectedAnswer(f"the sealed request was answered {reply.status}: {body}")
        return {"path": "/api/organisation", "status": 200, "milliseconds": round(reply.ms, 1)}

    def revoke(self) -> Evidence:
        self.browser.expect(204, "DELETE", f"/api/security/tokens/{self.token_id}", host=self.host)
        closed = self.see_closed(
            REVOKED_WITHIN * self.patience, "the revoked phone's socket stayed open"
        )
        code = self.refused_code(self.link)
        if code != "AUTH_FAILED":
            raise UnexpectedAnswer(f"the revoked phone got {code} instead of AUTH_FAILED")
        return {"refused_with": code, "socket_closed_after_seconds": closed}

    def suspend(self) -> Evidence:
        link, _, _ = self.mint_device()
        self.phone = self.connect(link)
        started = time.monotonic()
        self.act("suspend", {"reason": "proof"})
        closed = self.see_closed(
            SUSPENDED_WITHIN * self.patience, "the phone's socket outlived the suspension"
        )
        code = self.refused_code(link)
        if code != "INSTANCE_NOT_FOUND":  # AUTH_FAILED would make the phone delete its pairing
            raise UnexpectedAnswer(f"the phone got {code} instead of INSTANCE_NOT_FOUND")
        left = SUSPENDED_WITHIN * self.patience - (time.monotonic() - started)
        until(
            lambda: None if self.still_registered() else True,
            max(left, 0.1),
            "the runtime's connection outlived the suspension",
        )
        return {"socket_closed_after_seconds": closed, "phone_told": code}

    # --- what the steps share --------------------------------------------------------------------

    def relay_status(self) -> dict[str, Any]:
        path = "/api/settings/relay/status"
        status: dict[str, Any] = self.browser.expect(200, "GET", path, host=self.host).json()
        return status

    def still_registered(self) -> bool:
        """Whether the runtime still reports a connection; the owner cannot ask while suspended."""
        return RelayStatus.objects.filter(
            organisation_id=UUID(str(self.organisation)), connected=True
        ).exists()

    def connect(self, link: str) -> Phone:
        phone = Phone.from_link(link)
        self.loop.run_until_complete(phone.open())
        return phone

    def live_phone(self) -> Phone:
        if self.phone is None:
            raise UnexpectedAnswer("no phone is connected")
        return self.phone

    def hang_up(self) -> None:
        if self.phone is not None:
            self.loop.run_until_complete(self.phone.close())
            self.phone = None

    def see_closed(self, seconds: float, otherwise: str) -> float:
        """Seconds until the live phone was closed by the other side."""
        phone, started = self.live_phone(), time.monotonic()
        try:
            self.loop.run_until_complete(asyncio.wait_for(phone.wait_closed(), seconds))
        except TimeoutError:
            raise UnexpectedAnswer(f"{otherwise} for {seconds:g} s") from None
        self.phone = None
        return round(time.monotonic() - started, 3)

    def refused_code(self, link: str) -> str:
        """The relay's code for a phone that tries again."""
        try:
            phone = self.connect(link)
        except PhoneError as error:
            return error.code
        self.loop.run_until_complete(phone.close())
        return "no refusal"

    def close(self) -> list[str]:
        """Hangs up and removes the canary however far it came; says what it could not remove."""
        left: list[str] = []
        try:
            self.hang_up()
        except Exception as error:
            left.append(f"phone: {error}")
        left += super().close()
        self.loop.close()
        return left


def link_part(link: str, name: str) -> str:
    return parse_qs(urlsplit(link).query)[name][0]
