"""HTTP/1.1 by hand: sends exactly the bytes that a test made, and reads what comes back."""

from __future__ import annotations

import http.client
import io
import socket
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Answer:
    """`status` 0 means that the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip()


NONE = Answer(0, {}, b"")


def answers(line: socket.socket) -> list[Answer]:
    """All answers that come on this connection until the other side closes it."""
    raw = b""
    try:
        while piece := line.recv(65536):
            raw += piece
    except ConnectionResetError:
        pass
    found = []
    stream = io.BytesIO(raw)
    while stream.tell() < len(raw):
        answer = http.client.HTTPResponse(_Stream(stream))  # type: ignore[arg-type]  # no socket
        try:
            answer.begin()
            body = answer.read()
        except http.client.HTTPException:
            break
        found.append(Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body))
    return found


class _Stream:
    """Lets HTTPResponse read from memory, and go on where the last one ended."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.stream = stream

    def makefile(self, mode: str) -> io.BufferedReader:
        return _Open(self.stream)  # type: ignore[return-value]


class _Open:
    def __init__(self, stream: io.BytesIO) -> None:
        self.read = stream.read
        self.readline = stream.readline
        self.readinto = stream.readinto
        self.read1 = stream.read1
        self.peek = lambda n=0: stream.getbuffer()[stream.tell() :].tobytes()

    def close(self) -> None:
        """HTTPResponse closes what it read from; the next answer is still in there."""

    flush = close


class Line:
    """One connection that is opened again when the server closed it."""

    def __init__(self, address: tuple[str, int], *, seconds: float = 30.0) -> None:
        self.address = address
        self.seconds = seconds
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, message: bytes, *, method: str = "GET") -> Answer:
        """Sends a whole message and reads the answer. Raises OSError when the server is not there."""
        for attempt in (1, 2):
            fresh = self._socket is None
            if self._socket is None:
                self._socket = socket.create_connection(self.address, timeout=self.seconds)
            try:
                self._socket.sendall(message)
            except (BrokenPipeError, ConnectionResetError):
                if not fresh and attempt == 1:  # it had been idle for too long
                    self.hang_up()
                    continue
            answer = self._read(method)
            if answer is NONE and not fresh and attempt == 1:
                continue
            return answer
        return NONE

    def _read(self, method: str) -> Answer:
        assert self._socket is not None
        answer = http.client.HTTPResponse(self._socket, method=method)
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
            self.hang_up()
            return NONE
        if answer.will_close:
            self.hang_up()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)


def message(method: str, target: str, headers: list[tuple[str, bytes]], body: bytes = b"") -> bytes:
    """A request as it goes out. Content-Length is added unless `headers` has one, or there is no
    body and the method needs none."""
    lines = [f"{method} ".encode() + target.encode("latin-1") + b" HTTP/1.1"]
    lines += [name.encode() + b": " + value for name, value in headers]
    if not any(name.lower() == "content-length" for name, _ in headers) and (
        body or method in ("POST", "PUT", "PATCH")
    ):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
