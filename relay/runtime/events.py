"""Cuts an event stream into its events (relay-protocol section 10; WHATWG server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator


class EventTooLarge(Exception):
    """One event is larger than a frame can carry."""


async def events(chunks: AsyncIterable[bytes], *, limit: int) -> AsyncIterator[bytes]:
    """Each event as its lines joined by newline; a comment is an event too. What stands after the
    last blank line comes as well: the phone judges it. Raises EventTooLarge, at most `limit` bytes
    and one chunk are held."""
    lines: list[bytes] = []
    size = 0
    async for line in _lines(chunks, limit=limit):
        if line:
            size += len(line) + bool(lines)
            if size > limit:
                raise EventTooLarge
            lines.append(line)
        elif lines:
            yield b"\n".join(lines)
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines)


async def _lines(chunks: AsyncIterable[bytes], *, limit: int) -> AsyncIterator[bytes]:
    """Lines ended by LF, CR LF or CR, without their ends."""
    rest = b""
    after_cr = False
    async for chunk in chunks:
        if not chunk:
            continue
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        after_cr = chunk.endswith(b"\r")
        *whole, rest = (rest + chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > limit:
            raise EventTooLarge
    if rest:
        yield rest
