"""People who sign up, and owners who suspend, lift, delete and restore their organisations."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
from django.db import connections

from bench.load import world
from bench.load.measuring import Sample, foreign_label
from bench.load.world import Tenant
from pulsecloud.proof.browser import UnexpectedAnswer
from pulsecloud.proof.canary import Canary

SIGN_UP_EVERY: Final = 6.0  # seconds; 600 an hour
VERB_EVERY: Final = 2.0
# (verb, body, what the organisation's own door says to its owner afterwards)
ROUND: Final[tuple[tuple[str, dict[str, Any], int], ...]] = (
    ("suspend", {"reason": "load test"}, 403),
    ("unsuspend", {}, 200),
    ("soft-delete", {"retention_days": 30, "reason": "load test"}, 403),
    ("restore", {"reason": "load test"}, 200),
)


class Life:
    """`samples` of kinds sign_up (from the form to an active organisation) and life_cycle."""

    def __init__(self, owned: Sequence[Tenant]) -> None:
        self.owned = owned
        self.samples: list[Sample] = []
        self.newcomers: list[Canary] = []
        self._over = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._repeat, args=(work, pause))
            for work, pause in ((self._sign_up, SIGN_UP_EVERY), (self._next_verb(), VERB_EVERY))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(90)

    def _repeat(self, work: Callable[[], None], pause: float) -> None:
        try:
            while not self._over.wait(pause):
                work()
        finally:
            connections.close_all()

    def _sign_up(self) -> None:
        self._note("sign_up", lambda: self.newcomers.append(world.signed_up()))

    def _next_verb(self) -> Callable[[], None]:
        """One verb on one organisation at a time; every organisation goes all the way round."""
        turns = itertools.cycle((tenant, *step) for tenant in self.owned for step in ROUND)

        def work() -> None:
            tenant, verb, body, status = next(turns)
            self._note("life_cycle", lambda: tenant.canary.act(verb, body))
            self._look(tenant, verb, status)

        return work

    def _look(self, tenant: Tenant, verb: str, status: int) -> None:
        """Whether the organisation's door knows at once."""
        wrong = foreign = ""
        try:
            answer = tenant.canary.inside("GET", "/api/organisation")
        except httpx.HTTPError as failed:
            wrong = f"after {verb}: {str(failed)[:120]}"
        else:
            foreign = foreign_label(answer.content, tenant.label)
            if answer.status_code != status:
                wrong = f"after {verb}: {answer.status_code}"
        if wrong or foreign:
            self.samples.append(Sample("life_cycle", time.monotonic(), 0.0, wrong, foreign))

    def _note(self, kind: str, work: Callable[[], None]) -> None:
        begun, error = time.monotonic(), ""
        try:
            work()
        except (UnexpectedAnswer, httpx.HTTPError) as failed:
            error = f"{kind}: {str(failed)[:120]}"
        self.samples.append(Sample(kind, begun, (time.monotonic() - begun) * 1000, error))
