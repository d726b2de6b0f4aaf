"""A process with phones: each is paired with one organisation and asks it through the relay.

The spec: {"phones": [{"link", "label"}], "pace" (requests a second of all phones together)}; see
`bench.load.orders`. Every request is sealed, and goes over relay and runtime to `web` and back.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from bench.load import orders
from bench.load.measuring import Sample, foreign_label, write
from relay.phone import Phone, PhoneError

PATHS = ("/api/organisation", "/api/organisation", "/api/settings/relay/status")


async def use(
    phone: dict[str, str], interval: float, over: asyncio.Event, took: list[Sample]
) -> None:
    """One phone: connected throughout, and again after it lost the connection."""
    number = 0
    live: Phone | None = None
    due = time.monotonic() + random.random() * interval
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), max(0.0, due - time.monotonic()))
            break
        error = foreign = ""
        try:
            if live is None:
                live = Phone.from_link(phone["link"])
                await live.open()
                due = time.monotonic()  # connecting is not what is measured
            reply = await live.request("GET", PATHS[number % len(PATHS)])
            foreign = foreign_label(reply.body, phone["label"])
            if reply.status != 200:
                error = f"phone: {reply.status}"
        except PhoneError as failed:
            error = f"phone: {failed.code}"
            if live is not None:
                await live.close()
            live = None
        took.append(Sample("relay", due, (time.monotonic() - due) * 1000, error, foreign))
        number += 1
        due = max(due + interval, time.monotonic())
    if live is not None:
        await live.close()


async def everybody(spec: dict[str, Any], over: threading.Event) -> list[Sample]:
    took: list[Sample] = []
    interval = len(spec["phones"]) / spec["pace"]
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for phone in spec["phones"]:
            tasks.create_task(use(phone, interval, ended, took))
        await asyncio.to_thread(over.wait)
        ended.set()
    return took


if __name__ == "__main__":
    write(asyncio.run(everybody(*orders.take())), sys.stdout)
