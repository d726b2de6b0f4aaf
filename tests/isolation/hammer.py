"""One process of the crowd: threads that ask, and look for foreign markers in every answer.

    python -m tests.isolation.hammer PORT COUNT THREADS SEED < requests.json

Writes a line of JSON a second, `{"done": n}`, and at the end the whole account. Knows no Django:
it must not share anything with what it looks at. A connection is kept for the next request, which
may be any other organisation's.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from typing import Any

from tests.isolation.markers import seen

TRIES = 3  # a kept connection may just be closing


class Account:
    """What all threads of this process saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.with_own_marker = 0
        self.leaks: list[dict[str, Any]] = []

    def note(self, request: dict[str, Any], status: int, answer: bytes) -> None:
        found = seen(answer)
        foreign = found - {request["marker"]}
        with self.lock:
            self.statuses[status] += 1
            self.with_own_marker += bool(found) and not foreign
            if status != request["status"]:
                self.unexpected[f"{request['path']} {request['status']} → {status}"] += 1
            if foreign:
                leak = {"path": request["path"], "host": request["host"], "status": status}
                self.leaks.append({**leak, "own": request["marker"], "foreign": sorted(foreign)})

    @property
    def done(self) -> int:
        return sum(self.statuses.values())

    def told(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "statuses": dict(self.statuses),
            "unexpected": dict(self.unexpected),
            "with_own_marker": self.with_own_marker,
            "leaks": len(self.leaks),
            "some_leaks": self.leaks[:20],
        }


def ask(address: tuple[str, int], request: dict[str, Any], kept: list[socket.socket]) -> Any:
    """(status, the whole answer as bytes)."""
    lines = [f"GET {request['path']} HTTP/1.1", f"Host: {request['host']}"]
    lines += [f"{name}: {value}" for name, value in request["headers"].items()]
    message = ("\r\n".join(lines) + "\r\n\r\n").encode()
    for left in reversed(range(TRIES)):
        if not kept:
            kept.append(socket.create_connection(address, timeout=120))
        try:
            kept[0].sendall(message)
            answer = _answer(kept[0])
        except ConnectionError:
            kept.pop().close()
            if not left:
                raise
            continue
        if b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower():
            kept.pop().close()
        return int(answer.split(b" ", 2)[1]), answer
    raise AssertionError("unreachable")


def _answer(connection: socket.socket) -> bytes:
    answer = bytearray()
    wanted = None
    while wanted is None or len(answer) < wanted:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        answer += piece
        if wanted is None and (end := answer.find(b"\r\n\r\n")) >= 0:
            _, found, rest = bytes(answer[:end]).lower().partition(b"content-length:")
            wanted = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
    return bytes(answer)


def main() -> None:
    port, count, threads, seed = (int(each) for each in sys.argv[1:5])
    requests = json.load(sys.stdin)
    account, dice = Account(), random.Random(seed)
    turns = iter([dice.choice(requests) for _ in range(count)])
    lock = threading.Lock()

    def work() -> None:
        kept: list[socket.socket] = []
        while True:
            with lock:
                request = next(turns, None)
            if request is None:
                return
            account.note(request, *ask(("127.0.0.1", port), request, kept))

    crowd = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for each in crowd:
        each.start()
    while any(each.is_alive() for each in crowd):
        time.sleep(1)
        print(json.dumps({"done": account.done}), flush=True)
    print(json.dumps(account.told()), flush=True)


if __name__ == "__main__":
    main()
