"""A process that sends GET requests at a pace and looks at every answer.

The spec: {"port", "kind", "requests": [{"path", "host", "headers", "label"}], "connections", "pace"
(requests a second), "refusals" (whether 429 is an answer like any other)}; see `bench.load.orders`.
Knows no Django: it shares the cores with what it measures.

Requests are due at fixed times. What was sent late because all connections were waiting is measured
from when it was due, or a server that stands still would look fast. With "refusals" each connection
asks again after its own answer, as a program does that does not care, and lateness is its own.
"""

from __future__ import annotations

import itertools
import random
import socket
import sys
import threading
import time
from typing import Any

from bench.load import orders
from bench.load.measuring import Sample, foreign_label, write
from tests.isolation.hammer import ask


class Crowd:
    def __init__(self, spec: dict[str, Any], over: threading.Event) -> None:
        self.spec, self.over = spec, over
        self.address = ("127.0.0.1", int(spec["port"]))
        self.samples: list[Sample] = []
        self.lock = threading.Lock()
        shuffled = list(spec["requests"])
        random.Random(4).shuffle(shuffled)
        self.requests = itertools.cycle(shuffled)
        self.due = itertools.count()
        self.begun = time.monotonic()

    def work(self) -> None:
        kept: list[socket.socket] = []
        while True:
            with self.lock:
                due = self.begun + next(self.due) / self.spec["pace"]
                request = next(self.requests)
            if self.over.wait(max(0.0, due - time.monotonic())):
                break
            if self.spec["refusals"]:
                due = time.monotonic()
            sample = self.sent(request, due, kept)
            with self.lock:
                self.samples.append(sample)
        for connection in kept:
            connection.close()

    def sent(self, request: dict[str, Any], due: float, kept: list[socket.socket]) -> Sample:
        error = foreign = ""
        begun = time.monotonic()
        try:
            status, answer = ask(self.address, request, kept)
        except OSError as failed:
            error = f"{request['path']}: {type(failed).__name__}"
            kept.clear()
        else:
            foreign = foreign_label(answer, request["label"])
            if status == 429 and self.spec["refusals"]:
                error = "429"
            elif status != 200:
                error = f"{request['path']}: {status}"
        return Sample(self.spec["kind"], begun, (time.monotonic() - due) * 1000, error, foreign)


def main() -> None:
    crowd = Crowd(*orders.take())
    threads = [threading.Thread(target=crowd.work) for _ in range(crowd.spec["connections"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write(crowd.samples, sys.stdout)


if __name__ == "__main__":
    main()
