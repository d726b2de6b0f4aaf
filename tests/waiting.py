"""Waiting for a condition instead of sleeping.

`seconds` say how long a machine with nothing else to do may take. Tests share theirs with other
tests, so they wait PATIENCE times as long before they call something broken; a green test is none
the slower for it. Where the product promises a time (5 s until a socket is closed), `promised=True`
holds it to that time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
PATIENCE = 4.0
MOST = 200.0  # seconds; pytest ends the test at 300


def until(
    condition: Callable[[], T | None],
    seconds: float = 5.0,
    *,
    every: float = 0.02,
    what: str = "",
    promised: bool = False,
) -> T:
    """The first true value of `condition()`; fails the test when there is none in time."""
    seconds = seconds if promised else max(seconds, min(seconds * PATIENCE, MOST))
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition!r}; last: {value!r}")
        time.sleep(every)


@overload
async def until_async(
    condition: Callable[[], Awaitable[T]],
    seconds: float = ...,
    *,
    every: float = ...,
    what: str = ...,
    promised: bool = ...,
) -> T: ...
@overload
async def until_async(
    condition: Callable[[], T],
    seconds: float = ...,
    *,
    every: float = ...,
    what: str = ...,
    promised: bool = ...,
) -> T: ...
async def until_async(
    condition: Callable[[], Any],
    seconds: float = 5.0,
    *,
    every: float = 0.02,
    what: str = "",
    promised: bool = False,
) -> Any:
    """The same inside an event loop; `condition` may be a coroutine function."""
    seconds = seconds if promised else max(seconds, min(seconds * PATIENCE, MOST))
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition!r}; last: {value!r}")
        await asyncio.sleep(every)
