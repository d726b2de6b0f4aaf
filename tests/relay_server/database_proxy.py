"""Stands between a relay and PostgreSQL, to take the database away and give it back."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pulsecloud import postgres
from tests import databases
from tests.settings import CACHE

SOCKET = ".s.PGSQL.5432"


class DatabaseProxy:
    """`cut()`: connections break and new ones are refused; `stall()`: they hang; `restore()`."""

    def __init__(self, database: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path has 107 characters
        real = quote(str(postgres.socket_dir(CACHE)), safe="")
        self.url = databases.url(database).replace(real, quote(str(self.folder), safe=""))
        self._moving = asyncio.Event()
        self._moving.set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cut()
        shutil.rmtree(self.folder)

    async def restore(self) -> None:
        self._moving.set()
        if self._server is None:
            path = self.folder / SOCKET
            self._server = await asyncio.start_unix_server(self._accept, path)

    def stall(self) -> None:
        self._moving.clear()

    async def cut(self) -> None:
        self._moving.set()
        if self._server is not None:
            self._server.close()
            self._server = None
            (self.folder / SOCKET).unlink(missing_ok=True)
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = postgres.socket_dir(CACHE) / SOCKET
        back, forth = await asyncio.open_unix_connection(there)
        try:
            await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        finally:
            writer.transport.abort()
            forth.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._moving.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
