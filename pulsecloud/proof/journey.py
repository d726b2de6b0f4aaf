"""The proof's steps: what a newcomer, a phone and an owner do, through the public doors only.

The canary's invitation is the one thing minted on the command line; everything else is HTTP and
WebSocket (design section 7). Each step returns its evidence or raises; a step that needs what an
earlier one made says so by reading it from the journey.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from audit.actors import Actor
from billing.models import Lease
from pulsecloud.proof import gauges
from pulsecloud.proof.browser import Browser, UnexpectedAnswer
from relay.models import RelayStatus
from relay.phone import Phone, PhoneError
from relay.wire import instance_id
from tenants import invitations, lifecycle

Evidence = dict[str, Any]
Found = TypeVar("Found")

# How long each promise may take before the proof calls it broken, in seconds.
PROVISIONED_WITHIN = 60.0
CONNECTED_WITHIN = 15.0
REVOKED_WITHIN = 5.0
SUSPENDED_WITHIN = 5.0
PURGED_WITHIN = 30.0


class Journey:
    """One canary from invitation to nothing left. `close` must be called; it never raises."""

    def __init__(self, patience: float = 1.0) -> None:
        """`patience` scales how long each step may take."""
        self.patience = patience
        self.label = f"canary-{secrets.token_hex(6)}"
        self.email = f"{self.label}@canary.{settings.BASE_DOMAIN}"
        self.browser = Browser()
        self.loop = asyncio.new_event_loop()
        self.organisation: UUID | None = None
        self.host = ""
        self.status: dict[str, Any] = {}
        self.link = ""
        self.token_id = ""
        self.phone: Phone | None = None

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
        invited = invitations.invite(
            email=self.email, canary=True, note="proof", actor=Actor.system("prove"), reason="proof"
        )
        page = self.browser.expect(200, "GET", "/signup")
        answer = self.browser.submit(
            page,
            path="/signup",
            email=self.email,
            org_name=f"Proof {self.label}",
            host_label=self.label,
            invitation=invited.token,
        )
        if answer.status_code not in (302, 303):
            raise UnexpectedAnswer(f"the sign-up page answered {answer.status_code}")
        return {"label": self.label, "signed_in": answer.headers.get("location", "")}

    def await_provisioned(self) -> Evidence:
        def active() -> dict[str, Any] | None:
            status: dict[str, Any] = self.browser.expect(200, "GET", "/signup/status").json()
            if status["state"] == "failed":
                raise UnexpectedAnswer(f"provisioning failed: {status.get('failure') or status}")
            return status if status["state"] == "active" else None

        status = until(
            active, PROVISIONED_WITHIN * self.patience, "the organisation did not become active"
        )
        self.label, self.organisation = status["label"], UUID(status["organisation"])
        self.host = self.browser.enter(self.label)
        return {"organisation": str(self.organisation), "host": self.host, "steps": status["steps"]}

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
        self.link, self.token_id = self.mint_device()
        secret = link_part(self.link, "auth_token")
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
        """On a busy system others come and go, so the app gauge is watched over a few reconnects."""
        for _ in range(5):
            instances, with_phone = gauges.read()
            self.hang_up()
            without = until(
                lambda: value if (value := gauges.read()[1]) < with_phone else None,  # noqa: B023
                2.0,
                None,
            )
            self.phone = self.connect(self.link)
            again = gauges.read()[1]
            if without is not None and again == without + 1 and instances >= 1:
                return {
                    "pulse_relay_instance_connections": instances,
                    "pulse_relay_app_sessions": [without, again],
                }
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
        link, _ = self.mint_device()
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

    def purge(self) -> Evidence:
        organisation = UUID(str(self.organisation))
        self.act("purge", {"reason": "proof"})
        until(
            lambda: True if not lifecycle.residue(organisation) else None,
            PURGED_WITHIN * self.patience,
            lambda: f"left behind: {', '.join(lifecycle.residue(organisation))}",
        )
        return {"left": []}

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

    def mint_device(self) -> tuple[str, str]:
        """(deep link, token id) of a fresh mobile token."""
        minted = self.browser.request(
            "POST", "/api/security/tokens/relay-mobile", host=self.host, json={"name": "proof"}
        )
        if minted.status_code not in (200, 201):
            raise UnexpectedAnswer(f"minting a mobile token answered {minted.status_code}")
        secret, record = minted.json()["token"], minted.json()["record"]
        link = self.browser.expect(
            200, "GET", "/api/onboarding/deep-link", host=self.host, headers={"X-API-Token": secret}
        ).json()["url"]
        return link, record["id"]

    def act(self, verb: str, body: dict[str, Any]) -> None:
        """A life-cycle route, as the owner, on the base domain."""
        self.browser.expect(200, "POST", f"/api/admin/orgs/{self.organisation}/{verb}", json=body)

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
        try:
            left += lifecycle.purge_canary(
                label=self.label, email=self.email, actor=Actor.system("prove"), reason="proof"
            )
        except Exception as error:
            left.append(f"canary {self.label}: {error}")
        self.browser.close()
        self.loop.close()
        return left


def link_part(link: str, name: str) -> str:
    return parse_qs(urlsplit(link).query)[name][0]


def until(
    look: Callable[[], Found | None],
    seconds: float,
    otherwise: str | Callable[[], str] | None,
) -> Found:
    """Looks, ever more slowly, until it finds something; raises UnexpectedAnswer after `seconds`.

    With `otherwise` None the time-out returns None instead.
    """
    deadline, pause = time.monotonic() + seconds, 0.02
    while (found := look()) is None:
        if time.monotonic() > deadline:
            if otherwise is None:
                return found  # type: ignore[return-value]
            text = otherwise() if callable(otherwise) else otherwise
            raise UnexpectedAnswer(f"{text} within {seconds:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    return found
