"""One canary organisation, made and used through the public doors as its owner would.

Proofs and drills share it. Its invitation is the one thing minted past the doors, because a canary
has no mailbox that anybody could read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import httpx
from django.conf import settings
from django.db import DatabaseError

from audit.actors import Actor
from pulsecloud.proof.browser import Browser, UnexpectedAnswer
from tenants import invitations, lifecycle
from tenants.models import Invitation, Organisation
from tenants.states import ENDED

Evidence = dict[str, Any]
Found = TypeVar("Found")

# How long each promise may take before it is called broken, in seconds.
PROVISIONED_WITHIN = 60.0
PURGED_WITHIN = 30.0


class Canary:
    """From invitation to nothing left. `close` must be called; it never raises.

    `purpose` is the command that it is for, `prove` or `drill`: it stands in the label, so that what
    a killed run left behind can be told from what another one is using, and in the trail.
    `patience` scales how long each promise may take.
    """

    def __init__(self, purpose: str, *, patience: float = 1.0, label: str = "") -> None:
        self.purpose = purpose
        self.patience = patience
        self.label = label or f"{prefix(purpose)}{secrets.token_hex(6)}"
        self.email = mailbox(self.label)
        self.browser = Browser()
        self.organisation: UUID | None = None
        self.host = ""

    # --- how it comes to be ----------------------------------------------------------------------

    def sign_up(self) -> Evidence:
        invited = invitations.invite(
            email=self.email,
            canary=True,
            note=self.purpose,
            actor=Actor.system(self.purpose),
            reason=self.purpose,
        )
        page = self.browser.expect(200, "GET", "/signup")
        answer = self.browser.submit(
            page,
            path="/signup",
            email=self.email,
            org_name=f"Canary {self.label}",
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

    # --- what its owner does ---------------------------------------------------------------------

    def act(self, verb: str, body: dict[str, Any]) -> None:
        """A life-cycle route, as the owner, on the base domain."""
        self.browser.expect(200, "POST", f"/api/admin/orgs/{self.organisation}/{verb}", json=body)

    def mint_device(self) -> tuple[str, str, str]:
        """(deep link, secret, token id) of a fresh mobile token."""
        minted = self.inside("POST", "/api/security/tokens/relay-mobile", json={"name": "canary"})
        if minted.status_code not in (200, 201):
            raise UnexpectedAnswer(f"minting a mobile token answered {minted.status_code}")
        secret, record = minted.json()["token"], minted.json()["record"]
        link = self.browser.expect(
            200, "GET", "/api/onboarding/deep-link", host=self.host, headers={"X-API-Token": secret}
        ).json()["url"]
        return link, secret, record["id"]

    def inside(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """A request to the organisation's own host, whatever it answers."""
        return self.browser.request(method, path, host=self.host, **rest)

    def purge(self) -> Evidence:
        organisation = UUID(str(self.organisation))
        self.act("purge", {"reason": self.purpose})
        until(
            lambda: True if not lifecycle.residue(organisation) else None,
            PURGED_WITHIN * self.patience,
            lambda: f"left behind: {', '.join(lifecycle.residue(organisation))}",
        )
        return {"left": []}

    # --- how it goes -----------------------------------------------------------------------------

    def close(self) -> list[str]:
        """Removes the canary however far it came; says what it could not remove."""
        self.browser.close()
        # Its label is known once it is active; until then sign-up may have given it another one.
        signed_up = Organisation.objects.filter(canary=True, owner_email__iexact=self.email)
        try:
            labels = {self.label, *signed_up.values_list("label", flat=True)}
        except DatabaseError as error:
            return [f"canary {self.label}: {error}"]
        return [what for label in labels for what in removed(label, self.email, self.purpose)]


def prefix(purpose: str) -> str:
    return f"canary-{purpose}-"


def mailbox(label: str) -> str:
    return f"{label}@canary.{settings.BASE_DOMAIN}"


def removed(label: str, email: str, purpose: str) -> list[str]:
    """Removes a canary past the doors, which may be what is broken; says what it could not."""
    try:
        return lifecycle.purge_canary(
            label=label, email=email, actor=Actor.system(purpose), reason=purpose
        )
    except Exception as error:
        return [f"canary {label}: {error}"]


def remove_forgotten(purpose: str) -> list[str]:
    """Removes what a killed run of this purpose left behind; call it with that run's lock held."""
    left: list[str] = []
    forgotten = Organisation.objects.filter(canary=True, label__startswith=prefix(purpose))
    for organisation in forgotten.exclude(state__in=ENDED):
        email = organisation.owner_email or mailbox(organisation.label)
        left += removed(organisation.label, email, purpose)
    # Killed between the invitation and the sign-up, or at the very end.
    unused = Invitation.objects.filter(canary=True, email__startswith=prefix(purpose))
    for email in unused.values_list("email", flat=True):
        left += removed(email.partition("@")[0], email, purpose)
    return left


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
