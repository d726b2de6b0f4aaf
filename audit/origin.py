"""Where the request that is being answered came from, for the rows it writes.

Not in the log's context variables: addresses belong into the trail, not into every log line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog


@dataclass(frozen=True)
class Origin:
    """`address` of the caller, if known; `path` is asked when a row is written, because only then
    it is known which parts of it are secrets."""

    address: str = ""
    path: Callable[[], str] = str


_current: ContextVar[Origin] = ContextVar("audit_origin", default=Origin())  # noqa: B039  frozen


@contextmanager
def during(*, address: str, path: Callable[[], str]) -> Iterator[None]:
    """Rows written in this block come from there unless they say otherwise."""
    token = _current.set(Origin(address, path))
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Origin:
    return _current.get()


def request_id() -> str:
    """The id of the request that is being answered, as the request log has it; or nothing."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
