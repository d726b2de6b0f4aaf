"""One embedded PostgreSQL for all test runs of this checkout, alive while any of them is.

Every run holds a shared lock on `users.lock`. The first one starts this module as a process of its
own, which owns the server, waits for the exclusive lock (nobody uses it any more) and stops it. A
run that is killed drops its lock with its process, so nothing is left behind.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
_held: list[IO[str]] = []


def use(cache: Path) -> None:
    """Makes sure that the server runs for as long as this process does."""
    from pulsecloud import postgres

    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "start.lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        using = (cache / "users.lock").open("w")
        fcntl.flock(using, fcntl.LOCK_SH)  # waits while a keeper is stopping its server
        _held.append(using)
        try:
            postgres.connect(cache, database="postgres").close()
            return
        except Exception:
            log = (cache / "keeper.log").open("w")
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres_keeper", str(cache)],
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 90
        while not (cache / "keeper.log").read_text().startswith("ready"):
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "the test database does not start:\n" + (cache / "keeper.log").read_text()
                )
            time.sleep(0.05)


def keep(cache: Path) -> None:
    """Runs the server until nobody uses it."""
    from pulsecloud import postgres

    # Speed over safety: whatever a crash of the machine takes is made again.
    postgres.SETTINGS.update({"fsync": "off", "full_page_writes": "off", "max_connections": "400"})
    server = postgres.start(cache)
    print("ready", flush=True)
    with (cache / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        server.stop()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
