"""Owns an embedded PostgreSQL as the supervisor does, told what to do over stdin.

Run as `python postgres_driver.py DATA_DIR`. Words on stdin: start, stop, wait (until the server
ended), quit. Answers with one JSON object a line: {"pid", "cluster", "socket", "found"},
{"error"} or {}.
"""

import json
import sys
from pathlib import Path

from pulsecloud import postgres
from pulsecloud.postgres_place import PostgresError


def main() -> None:
    data_dir = Path(sys.argv[1])
    server: postgres.Server | None = None
    for line in sys.stdin:
        answer: dict[str, object] = {}
        word, _, argument = line.strip().partition(" ")
        try:
            if word == "start":
                server = postgres.start(data_dir, patience=float(argument or postgres.PATIENCE))
                answer = {
                    "pid": server.pid,
                    "cluster": str(postgres.cluster_dir(data_dir)),
                    "socket": str(postgres.socket_dir(data_dir)),
                    "found": server.found_running,
                }
            elif word == "wait" and server is not None:
                answer = {"ended": server.wait(10)}
            elif word in ("stop", "quit") and server is not None:
                server.stop()
        except PostgresError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
        if word == "quit":
            return


if __name__ == "__main__":
    main()
