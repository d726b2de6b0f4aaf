"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


def until(
    condition: Callable[[], T | None], seconds: float = 5.0, *, every: float = 0.02, what: str = ""
) -> T:
    """The first true value of `condition()`; fails the test when there is none in time."""
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
) -> T: ...
@overload
async def until_async(
    condition: Callable[[], T], seconds: float = ..., *, every: float = ..., what: str = ...
) -> T: ...
async def until_async(
    condition: Callable[[], Any], seconds: float = 5.0, *, every: float = 0.02, what: str = ""
) -> Any:
    """The same inside an event loop; `condition` may be a coroutine function."""
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
