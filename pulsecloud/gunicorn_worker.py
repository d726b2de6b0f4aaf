"""Gunicorn's threaded worker, with an end to clients that never finish what they say.

Gunicorn reads a request in a thread of the pool and waits for as long as it takes, so that as many
half-sent requests as there are threads stop the process for good. Here the ear is turned away from
a connection after READ_SECONDS, or after READ_SECONDS_BUSY when no thread is free: its reader
finds the end of the message and the thread is free again. A request that was read whole is left
alone, however long it takes; one with a body, of which we cannot tell, gets its answer and with it the
word that the connection ends. Sending fails when nobody takes any of it for WRITE_SECONDS.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

READ_SECONDS = 15.0
READ_SECONDS_BUSY = 2.0
WRITE_SECONDS = 30
LOOK_EVERY = 0.5


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def init_process(self) -> None:
        self._since: dict[Any, float] = {}  # connections that a thread is at, and since when
        self._asked: dict[Any, Any] = {}  # the request of each of them, once its head was read
        threading.Thread(target=self._watch, name="slow-clients", daemon=True).start()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        self._since[conn] = time.monotonic()
        bound_sending(conn.sock, seconds=WRITE_SECONDS)
        try:
            return super().handle(conn)
        finally:
            self._since.pop(conn, None)
            self._asked.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._asked[conn] = req
        return super().handle_request(req, conn)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            under_way = list(self._since.items())
            busy = len(under_way) >= self.cfg.threads
            patience = READ_SECONDS_BUSY if busy else READ_SECONDS
            for conn, since in under_way:
                if time.monotonic() - since > patience:
                    self._hurry(conn)

    def _hurry(self, conn: Any) -> None:
        request = self._asked.get(conn)
        if request is not None:
            if not has_body(request):
                return
            request.force_close()  # nobody must send another request into a deaf connection
        turn_away(conn.sock)


def has_body(request: Any) -> bool:
    """Whether bytes may follow the head of a request (RFC 9112 section 6)."""
    return any(
        name == "TRANSFER-ENCODING" or (name == "CONTENT-LENGTH" and value.strip() != "0")
        for name, value in request.headers
    )


def bound_sending(sock: socket.socket, *, seconds: int) -> None:
    """Sending raises BlockingIOError, an OSError, once nothing can be sent for that long."""
    with suppress(OSError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))


def turn_away(sock: socket.socket) -> None:
    """Nothing more is read from it; whatever waits for its next byte sees the end."""
    try:
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        return  # it is closed already
