"""The runtime process: one keeper for each organisation that is to be served."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from relay.runtime import roster
from relay.runtime.calls import Means
from relay.runtime.database import Database
from relay.runtime.fairness import Allowance, Gate
from relay.runtime.keeper import Keeper, Surroundings
from relay.runtime.phone_tokens import PhoneTokens
from relay.runtime.report import Reporter
from relay.runtime.roster import Served
from relay.runtime.watch import Changed, Event, watch
from relay.runtime.web import Web

DIALS = 16  # registrations under way at a time: a start with 2,000 organisations is no storm
STOP_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Runtime:
    """`run` returns when `stop` is set."""

    def __init__(self) -> None:
        self._database = Database()
        self._reporter = Reporter(self._database)
        self._web = Web()
        self._around = Surroundings(
            database=self._database,
            tokens=PhoneTokens(self._database),
            means=Means(
                self._web, Gate(settings.RUNTIME_CALLS), Allowance(settings.RUNTIME_STREAMS)
            ),
            reporter=self._reporter,
            dials=asyncio.Semaphore(DIALS),
        )
        self._kept: dict[UUID, tuple[Served, Keeper, asyncio.Task[None]]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._started = False

    async def run(self, stop: asyncio.Event) -> None:
        report = asyncio.create_task(self._reporter.run())
        follow = asyncio.create_task(self._follow())
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                {report, follow, stopped}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopped}:
                task.result()  # neither ends by itself: the process dies with what ended it
        finally:
            say_gone()
            for task in (report, follow, stopped):
                task.cancel()
            await asyncio.wait([report, follow, stopped])
            await self._hold_none()
            if self._started:
                await self._reporter.flush()
            await self._web.close()
            self._database.close()

    async def _follow(self) -> None:
        async for event in watch():
            if event is Event.STAND_BY:
                await self._hold_none()
                say_ready(serving=0)
                continue
            try:
                if not self._started:
                    await self._reporter.start()
                    self._started = True
                await self._look(event.organisation if isinstance(event, Changed) else None)
            except DatabaseError as error:
                # The watch notices as well, and says LOOK when the database is back.
                log.warning(
                    "organisations cannot be read",
                    error=type(error).__name__,
                    remedy="the database does not answer; phones stay connected meanwhile",
                )
                continue
            say_ready(serving=len(self._kept))

    async def _look(self, only: UUID | None) -> None:
        """Makes what is kept equal to what is to be served."""
        wanted = await self._database.run(partial(roster.served, only))
        looked_at = set(self._kept) if only is None else {only} & set(self._kept)
        gone = [key for key in looked_at if self._kept[key][0] != wanted.get(key)]
        self._stop(gone)
        for key in looked_at - set(gone):
            self._look_after(self._kept[key][1], changed=only is not None)
        for key, served in wanted.items():
            if key not in self._kept:
                self._start(served)

    def _start(self, served: Served) -> None:
        keeper = Keeper(served, self._around)
        task = asyncio.create_task(keeper.run())
        task.add_done_callback(partial(self._failed, served.organisation))
        self._kept[served.organisation] = (served, keeper, task)

    def _look_after(self, keeper: Keeper, *, changed: bool) -> None:
        chore = asyncio.create_task(keeper.nudge() if changed else keeper.revalidate())
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    def _stop(self, organisations: list[UUID]) -> None:
        """Without waiting: a relay that does not answer must not delay the others."""
        for task in [self._kept.pop(key)[2] for key in organisations if key in self._kept]:
            task.cancel()
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)

    async def _hold_none(self) -> None:
        self._stop(list(self._kept))
        if self._chores:
            await asyncio.wait(self._chores, timeout=STOP_SECONDS)

    def _failed(self, organisation: UUID, task: asyncio.Task[None]) -> None:
        """A keeper ends only by a fault of ours; the next sweep starts it anew."""
        if task.cancelled():
            return
        log.error("a keeper failed", organisation=str(organisation), exc_info=task.exception())
        if organisation in self._kept and self._kept[organisation][2] is task:
            del self._kept[organisation]


def ready_file() -> Path:
    """Its presence says that the runtime serves or stands by; its age, that it lives: it is written
    at every look, at least every RELAY_SWEEP_INTERVAL. JSON: pid, serving, at (Unix seconds)."""
    return Path(settings.DATA_DIR) / "run" / "runtime.json"


def say_gone() -> None:
    """Takes the file away, unless another runtime has written it since."""
    with suppress(OSError, ValueError):
        if json.loads(ready_file().read_text())["pid"] == os.getpid():
            ready_file().unlink()


def say_ready(*, serving: int) -> None:
    path = ready_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"pid": os.getpid(), "serving": serving, "at": int(time.time())}))
    fresh.replace(path)
