"""A phone that is paired with an organisation of a running product, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pulsecloud.proof.browser import Browser
from relay.phone import Phone, PhoneError
from tests import secrets_seen
from tests.product import Member


class PairedPhone:
    """Keeps its pairing across connections; every refusal is noted in `refusals`."""

    def __init__(self, link: str) -> None:
        self.link = link
        self.loop = asyncio.new_event_loop()
        self.phone: Phone | None = None
        self.refusals: set[str] = set()

    def connect(self) -> bool:
        """Whether the relay let it in; a phone that is connected stays so."""
        if self.phone is not None:
            return True
        phone = Phone.from_link(self.link)
        try:
            self.loop.run_until_complete(phone.open())
        except PhoneError as error:
            self.refusals.add(error.code)
            return False
        self.phone = phone
        return True

    def asks(self) -> int:
        """The status of a sealed request; 0 when the connection is gone."""
        if self.phone is None:
            return 0
        try:
            reply = self.loop.run_until_complete(self.phone.request("GET", "/api/organisation"))
        except PhoneError as error:
            self.refusals.add(error.code)
            self.hang_up()
            return 0
        return reply.status

    def works(self) -> bool:
        return self.connect() and self.asks() == 200

    def hang_up(self) -> None:
        if self.phone is not None:
            self.loop.run_until_complete(self.phone.close())
            self.phone = None


@contextmanager
def paired(member: Member) -> Iterator[PairedPhone]:
    """Mints a device as the owner, who must be signed in on the organisation's host."""
    browser: Browser = member.browser
    minted = browser.request(
        "POST", "/api/security/tokens/relay-mobile", host=member.host, json={"name": "night"}
    )
    secret = minted.json()["token"]
    secrets_seen.seen(secret, "phone's token")
    link = browser.expect(
        200, "GET", "/api/onboarding/deep-link", host=member.host, headers={"X-API-Token": secret}
    ).json()["url"]
    phone = PairedPhone(link)
    try:
        yield phone
    finally:
        phone.hang_up()
        phone.loop.close()
