"""People who sign up while processes are killed, and who do what people do when a page fails.

They look only at pages and at their own mail. A page that fails is tried again after a moment. One
that says "look into your mailbox" although the invitation proves the mailbox means that an earlier
try had come through and its answer got lost: they follow the link in the mail.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import psycopg

from pulsecloud import postgres
from pulsecloud.proof.browser import Browser
from tenants import invitations
from tests import secrets_seen
from tests.product import Product

PAUSE = 0.3  # seconds before a person tries again
SETTLED = ("active", "failed")
_SIGN_IN = re.compile(r"/sign-in/(\S+)")


class GaveUp(Exception):
    """What a person saw last, after trying for longer than anybody would."""


@dataclass
class Person:
    """One canary's owner. `state` is what the status page said last."""

    product: Product
    browser: Browser
    email: str
    label: str
    invitation: str
    state: str = ""
    signed_in: bool = False
    tries: int = 0
    seconds: float = 0.0
    saw: Counter[str] = field(default_factory=Counter)
    posted: threading.Event = field(default_factory=threading.Event)

    def sign_up(self, *, patience: float = 90.0) -> None:
        """From the empty form until the status page says active or failed. Raises GaveUp."""
        begun = time.monotonic()
        while self.state not in SETTLED:
            self.seconds = time.monotonic() - begun
            if self.seconds > patience:
                raise GaveUp(f"{self.label}: {dict(self.saw)}, state {self.state!r}")
            try:
                if not self.signed_in:
                    self._try()
                elif not self._look():
                    time.sleep(0.1)
            except (httpx.TransportError, _Failed, psycopg.Error) as error:
                self.saw[str(error) if isinstance(error, _Failed) else type(error).__name__] += 1
                time.sleep(PAUSE)
        self.seconds = time.monotonic() - begun

    def _try(self) -> None:
        self.tries += 1
        page = self._fine(self.browser.request("GET", "/signup"))
        self.posted.set()
        answer = self._fine(
            self.browser.submit(
                page,
                path="/signup",
                email=self.email,
                org_name=f"Chaos {self.label}",
                host_label=self.label,
                invitation=self.invitation,
            )
        )
        if answer.status_code == 303:
            self.signed_in = True
            return
        path = self._link_in_mail()
        page = self._fine(self.browser.request("GET", path))
        if page.status_code != 200:
            return  # used up by a try whose answer got lost: ask for another
        answer = self._fine(self.browser.submit(page, path=path))
        self.signed_in = answer.status_code == 303

    def _look(self) -> bool:
        answer = self._fine(self.browser.request("GET", "/signup/status"))
        if answer.status_code == 200:
            self.state = str(answer.json()["state"])
        elif answer.status_code == 401:
            self.signed_in = False  # PostgreSQL died before the session was written
        return self.state in SETTLED

    def _fine(self, answer: httpx.Response) -> httpx.Response:
        """Raises _Failed for what a person sees as a failure."""
        if answer.status_code >= 500 or answer.status_code in (403, 429):
            raise _Failed(answer.status_code)
        return answer

    def _link_in_mail(self) -> str:
        """The newest sign-in link that was mailed to this person, past Django: it may be down."""
        with postgres.connect(self.product.data_dir) as connection:
            rows = connection.execute(
                "SELECT body FROM tenants_outboxmail WHERE recipient = %s ORDER BY id DESC LIMIT 1",
                [self.email],
            ).fetchall()
        found = _SIGN_IN.search(rows[0][0]) if rows else None
        if found is None:
            raise _Failed("no mail")
        secrets_seen.seen(found[1], "sign-in link")
        return f"/sign-in/{found[1]}"


class _Failed(Exception):
    """A page that did not come as it should; the text names it."""

    def __init__(self, what: object) -> None:
        super().__init__(str(what))


def invite(product: Product, count: int) -> list[Person]:
    """`count` people with a canary invitation each. Django must look into the product's database."""
    from audit.actors import Actor

    people = []
    for number in range(count):
        label = f"canary-chaos-{number:02}"
        email = f"{label}@canary.example.test"
        invited = invitations.invite(email=email, canary=True, actor=Actor.system("chaos"))
        secrets_seen.seen(invited.token, "invitation")
        people.append(Person(product, product.browser(), email, label, invited.token))
    return people
