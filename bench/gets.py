"""Keeps a web server busy with GET requests for a few seconds, from threads with sockets of their
own, and measures. Cheap on purpose: it shares the cores with the server."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Measured:
    """`latencies` are seconds of the answers with status 200."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    def add(self, other: Measured) -> None:
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.statuses += other.statuses


def get(path: str, host: str, **headers: str) -> bytes:
    """The bytes of one request; underscores in header names stand for hyphens."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def run(
    address: tuple[str, int],
    requests: Sequence[bytes],
    *,
    seconds: float,
    connections: int = 8,
    pause: float = 0.0,
    until_status: int | None = None,
) -> Measured:
    """Sends `requests` round robin over so many connections until the time is over.

    With `pause` each connection waits that long after an answer. With `until_status` all end at
    the first answer of that status.
    """
    total, lock = Measured(), threading.Lock()
    turns = iter(_forever(requests))
    begun, over = time.monotonic(), threading.Event()

    def work() -> None:
        own = Measured()
        connection: socket.socket | None = None
        while time.monotonic() < begun + seconds and not over.is_set():
            with lock:
                message = next(turns)
            sent = time.perf_counter()
            if connection is None:
                connection = socket.create_connection(address, timeout=30)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                status, keep = _exchange(connection, message)
            except ConnectionError:  # the server closed it between two requests
                connection.close()
                connection = None
                continue
            if status == 200:
                own.latencies.append(time.perf_counter() - sent)
            own.statuses[status] += 1
            if status == until_status:
                over.set()
            if not keep:
                connection.close()
                connection = None
            if pause:
                time.sleep(pause)
        if connection is not None:
            connection.close()
        with lock:
            total.add(own)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total.seconds = time.monotonic() - begun
    return total


def _forever(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests


def _exchange(connection: socket.socket, message: bytes) -> tuple[int, bool]:
    """(status, whether the connection stays open)."""
    connection.sendall(message)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    head = head.lower()
    _, found, rest = head.partition(b"content-length:")
    wanted = int(rest.split(b"\r\n", 1)[0]) if found else 0
    length = len(body)
    while length < wanted:
        length += len(_receive(connection))
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head


def _receive(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise ConnectionError("closed")
    return piece
