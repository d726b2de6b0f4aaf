"""What every drill needs: canaries that are gone afterwards, and answers that are as promised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx

from pulsecloud.proof.browser import UnexpectedAnswer
from pulsecloud.proof.canary import Canary
from pulsecloud.proof.record import CannotGoOn, Show
from tenants.models import Organisation


class Flock:
    """The canaries of one run. `left` says in words what could not be removed again."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.left: list[str] = []

    def drills(self) -> list[tuple[str, str, Show]]:
        """(name, what it shows, how) in order; each stands alone."""
        raise NotImplementedError

    @contextmanager
    def canary(self, label: str = "") -> Iterator[Canary]:
        """A provisioned canary whose owner is signed in. Raises CannotGoOn when there is none."""
        canary = Canary("drill", patience=self.patience, label=label)
        try:
            try:
                canary.sign_up()
                canary.await_provisioned()
            except (UnexpectedAnswer, httpx.HTTPError) as error:
                raise CannotGoOn(
                    f"no canary to try it on: {error or type(error).__name__}"
                ) from error
            yield canary
        finally:
            self.left += canary.close()


def act(
    canary: Canary,
    verb: str,
    body: dict[str, Any] | None = None,
    *,
    on: UUID | None = None,
    status: int = 200,
    code: str = "",
) -> dict[str, Any]:
    """A life-cycle route as the canary's owner, on its own organisation or on `on`.

    Returns the answer's JSON. Raises UnexpectedAnswer for another status or, where one is wanted,
    another code.
    """
    path = f"/api/admin/orgs/{on or canary.organisation}/{verb}"
    answer = canary.browser.expect(status, "POST", path, json=body or {})
    try:
        told: dict[str, Any] = answer.json()
    except ValueError:
        raise UnexpectedAnswer(f"POST {path} answered {status} without JSON") from None
    if code and told.get("code") != code:
        raise UnexpectedAnswer(
            f"POST {path} answered {status} {told.get('code')!r} instead of {code!r}"
        )
    return told


def status(canary: Canary) -> str:
    """The status that the base domain tells the owner now, whatever the verb's answer said."""
    organisations = canary.browser.expect(200, "GET", "/api/orgs").json()
    for each in organisations:
        if each["id"] == str(canary.organisation):
            return str(each["status"])
    raise UnexpectedAnswer("GET /api/orgs does not list the canary for its owner")


def want(what: str, found: Any, wanted: Any) -> None:
    """Raises UnexpectedAnswer unless both are the same."""
    if found != wanted:
        raise UnexpectedAnswer(f"{what} is {found!r} instead of {wanted!r}")


def stored(canary: Canary) -> Organisation:
    """The canary's row. No door shows why a suspended organisation was suspended, so it is looked
    up for what has to be kept."""
    return Organisation.objects.get(pk=UUID(str(canary.organisation)))
