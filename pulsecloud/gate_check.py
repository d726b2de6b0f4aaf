"""Asks a running server whether its hosted-mode gate is open or shut, route by route.

With the mode on, an admin route answers 401 to anonymous callers, and with the mode off it does as
well: authentication comes before the gate (hosted-contract section 2). So the check signs in as
somebody without any right, made for it and removed after it, who can do nothing but be refused; and
what a route says while refusing tells whether its gate is open. Nothing is signed up, suspended,
deleted or mailed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
from django.conf import settings
from django.utils import timezone

from audit.actors import Actor
from pulsecloud.proof.browser import Browser, UnexpectedAnswer
from tenants import hosted_routes, invitations, links
from tenants.accounts import sessions
from tenants.hosted_routes import Route
from tenants.models import Invitation, LinkPurpose, User

_ACTOR: Final = Actor.system("manage.py hosted_routes")
_DOMAIN: Final = "gate-check.invalid"
_LIFE: Final = timedelta(minutes=5)


class NotAsked(Exception):
    """The server could not be asked; the text says why."""


@dataclass(frozen=True)
class Finding:
    """What a route said to somebody without any right, and what it should have said."""

    route: Route
    status: int
    code: str
    expected: tuple[int, str]

    @property
    def holds(self) -> bool:
        return (self.status, self.code) == self.expected


def check(*, on: bool) -> list[Finding]:
    """Asks every route of the list, in order. Raises NotAsked."""
    with _somebody() as browser, _invitation() as invitation:
        return [_ask(browser, route, invitation, on=on) for route in hosted_routes.ALL]


def _ask(browser: Browser, route: Route, invitation: str, *, on: bool) -> Finding:
    body = dict(route.probe)
    if route is hosted_routes.SIGNUP:
        body["invitation"] = invitation  # a canary's: the sign-ups of this address are not used up
    sent: dict[str, Any] = {} if route.method == "GET" else {"json": body}
    try:
        answer = browser.request(
            route.method, route.probe_path(), headers={"Accept": "application/json"}, **sent
        )
    except httpx.HTTPError as error:
        raise NotAsked(f"{route}: {error}") from error
    expected = route.told if on and route.built else (404, "")
    return Finding(route, answer.status_code, _code(answer, route), expected)


def _code(answer: httpx.Response, route: Route) -> str:
    """The stable code of the answer. A route that is not built may be absent in any words."""
    if answer.status_code == 404 and not route.built:
        return ""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return ""
    body = answer.json()
    return str(body.get("code", "")) if isinstance(body, dict) else "no error"


@contextmanager
def _somebody() -> Iterator[Browser]:
    """A browser in which a person without any right is signed in on the base domain."""
    User.objects.filter(
        email__endswith=f"@{_DOMAIN}", date_joined__lt=timezone.now() - timedelta(hours=1)
    ).delete()  # of a check that was killed
    person = User.objects.create_user(
        f"{secrets.token_hex(8)}@{_DOMAIN}", email_verified_at=timezone.now()
    )
    browser = Browser()
    browser.base_host = browser.base_host or settings.BASE_DOMAIN
    try:
        token = links.mint(purpose=LinkPurpose.SIGN_IN, user=person, target="/", life=_LIFE)
        path = f"/sign-in/{token}"
        try:
            page = browser.expect(200, "GET", path)
            entered = browser.submit(page, path=path)
        except httpx.HTTPError as error:
            raise NotAsked(f"no web server answers at {browser.origin}: {error}") from error
        except UnexpectedAnswer as error:
            raise NotAsked(f"{error}. Does this server use another database?") from error
        if entered.status_code != 303:
            raise NotAsked(f"signing in for the check answered {entered.status_code}")
        yield browser
    finally:
        browser.close()
        sessions.end(users=[person.pk])
        person.delete()


@contextmanager
def _invitation() -> Iterator[str]:
    email = f"{secrets.token_hex(8)}@{_DOMAIN}"
    invited = invitations.invite(email=email, canary=True, actor=_ACTOR, reason="gate check")
    try:
        yield invited.token
    finally:
        invitations.revoke(invitation=invited.invitation, actor=_ACTOR, reason="gate check")
        Invitation.objects.filter(pk=invited.invitation.pk).delete()
