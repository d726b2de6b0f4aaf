"""The server process: binds, serves, drains.

Stock uvicorn closes every WebSocket with 1012 as soon as it is told to stop, and ends by raising
the signal again. Here DRAIN goes out first, while the listener still answers newcomers with
SERVER_DRAINING, and the process exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
from collections.abc import Generator
from types import FrameType
from typing import NoReturn

import uvicorn

from relay.server.asgi import application
from relay.server.protocol import MAX_REQUEST, Config, HttpProtocol, WebSocketProtocol
from relay.server.station import Station
from relay.server.watch import watch
from relay.wire.frames import MAX_MESSAGE

log = logging.getLogger(__name__)

BACKLOG = 2048  # a restart brings every instance back within a second of each other (F38)
LAST_MOMENT = 0.5  # seconds for sockets to close once the drain is over


class CannotListen(Exception):
    """The address cannot be bound; the text says which setting to change."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. It may be bound at once after a relay was killed on the same address.
    Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"PULSE_RELAY_ADDR {host}:{port} cannot be used: {error}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        taken = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error}"
        raise CannotListen(
            f"The relay's address {host}:{port} {taken}; set PULSE_RELAY_ADDR to another one."
        ) from error
    return listener


class Server(uvicorn.Server):
    def __init__(self, station: Station) -> None:
        limits = station.limits
        config = Config(
            application(station),
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # sealed payloads do not shrink, and lengths would leak
            ws_ping_interval=limits.ping_interval,
            ws_ping_timeout=limits.ping_timeout,
            h11_max_incomplete_event_size=MAX_REQUEST,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # TRUSTED_PROXIES says whom to believe, and for what
            server_header=False,
            backlog=BACKLOG,
        )
        config.handshake_timeout = limits.first_frame + limits.database  # /readyz asks it
        config.counters = station.counters
        super().__init__(config)
        self.station = station
        self._chores: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._chores.append(asyncio.create_task(watch(self.station)))
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        log.info("relay listens", extra={"address": f"{host}:{port}"})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close what is left. A second signal skips the rest."""
        log.info("relay drains", extra={"instances": len(self.station.switchboard.instances)})
        await self._unless_forced(self.station.drain())
        for chore in self._chores:
            chore.cancel()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # most of what serves them ends by itself, also when forced
        await self._unless_forced(self._until_closed())
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # cancelled is not failed
        for task in list(self.server_state.tasks):
            task.cancel()
        self.station.storage.close()
        log.info("relay stopped")

    async def _unless_forced(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        while not task.done() and not self.force_exit:
            await asyncio.wait({task}, timeout=0.05)
        task.cancel()

    async def _until_closed(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_MOMENT):
                while self.server_state.connections:  # noqa: ASYNC110  # half a second, once
                    await asyncio.sleep(0.02)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn's, but the signal is not raised again: a drained relay exits with 0."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {sig: signal.signal(sig, self.handle_exit) for sig in handled}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def run(station: Station, listener: socket.socket) -> NoReturn:
    """Serves until SIGINT or SIGTERM, then ends the process with 0 at once: neither a storage thread
    that hangs in the database nor the interpreter's tidying up may outlast the drain timeout."""
    # At debug level the WebSocket library logs frames, and CONNECT carries a token (F48); at warning
    # level every port scanner writes a line.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    _allow_many_sockets()
    Server(station).run(sockets=[listener])
    logging.shutdown()
    os._exit(0)


def _allow_many_sockets() -> None:
    """Every peer takes a file descriptor, and the usual soft limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
