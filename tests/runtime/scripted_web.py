"""An HTTP server in place of `web` that answers exactly what one test says, event streams included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedWeb:
    """`asked` holds every request so far; `open` counts connections that are still there."""

    address: tuple[str, int] = ("", 0)
    asked: list[Asked] = field(default_factory=list)
    open: int = 0


Script = Callable[[Asked, asyncio.StreamWriter], Coroutine[None, None, None]]


def answer(
    body: bytes = b"{}",
    *,
    status: int = 200,
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> bytes:
    """A whole answer with its length."""
    head = {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status} Text\r\n{lines}\r\n".encode() + body


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"


@asynccontextmanager
async def scripted_web(script: Script) -> AsyncIterator[ScriptedWeb]:
    """Runs `script` for each request and closes its connection afterwards."""
    web = ScriptedWeb()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        web.open += 1
        try:
            asked = await _read(reader)
            web.asked.append(asked)
            serving = asyncio.create_task(script(asked, writer))
            gone = asyncio.create_task(reader.read(1))  # the runtime hung up
            await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
            for task in (serving, gone):
                task.cancel()
            await asyncio.gather(serving, gone, return_exceptions=True)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            web.open -= 1
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    web.address = server.sockets[0].getsockname()[:2]
    try:
        yield web
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"{name} came twice"
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)
