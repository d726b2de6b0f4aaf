"""How a process of the crowd is told what to do, and when to stop.

The first line of standard input is the spec as JSON; it works until standard input ends, and then
writes its samples to standard output. So it stops by itself when who started it dies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from bench.load import measuring
from bench.load.measuring import Sample
from bench.product import ROOT


def take() -> tuple[dict[str, Any], threading.Event]:
    """(the spec, what is set when it is time to stop)."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return spec, over


class Worker:
    """A process of the crowd: `bench.load.<module>`. `close` may be called twice."""

    def __init__(self, module: str, spec: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"bench.load.{module}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(spec) + "\n")
        self.process.stdin.flush()

    def stop(self) -> list[Sample]:
        """What it measured. Raises SystemExit when it failed."""
        try:
            told, _ = self.process.communicate(timeout=120)
        finally:
            self.close()
        if self.process.returncode:
            raise SystemExit(f"a process of the crowd failed: {self.process.args!r}")
        return measuring.read(told)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
