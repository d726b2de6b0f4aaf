"""What one organisation far over its limit costs another: the p95 of the quiet one's requests.

Quiet and noisy rounds in turn on one running product with its own limits. The noisy organisation's
tokens ask as fast as they get answers and are refused with 429 most of the time; the quiet one asks
at a person's pace. The number is the quiet p95 under noise over that in silence, the median of the
rounds.

    python -m bench.noisy_neighbour [--rounds 5] [--seconds 4] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from bench import load
from bench.people import make_tenant
from bench.product import running_product

TARGET = 1.5
PATH = "/api/organisation"
NOISY = 4  # connections that ask without a pause
QUIET = 2  # connections that ask, wait for PAUSE, and ask again
PAUSE = 0.05


def measure(*, rounds: int, seconds: float) -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    noisy, quiet = make_tenant(members=8), make_tenant(members=2)
    noise, calm = noisy.by_token(PATH), quiet.by_token(PATH)
    address: tuple[str, int] = settings.WEB_ADDR
    load.run(address, calm, seconds=1)
    used_up = load.run(address, noise, seconds=60, connections=8, until_status=429)
    ratios, silent, noised, flood = [], [], [], load.Measured()
    for _ in range(rounds):
        before = load.run(address, calm, seconds=seconds, connections=QUIET, pause=PAUSE)
        made: list[load.Measured] = []
        thread = threading.Thread(
            target=lambda made=made: made.append(
                load.run(address, noise, seconds=seconds, connections=NOISY)
            )
        )
        thread.start()
        during = load.run(address, calm, seconds=seconds, connections=QUIET, pause=PAUSE)
        thread.join()
        flood.add(made[0])
        for measured in (before, during):
            if set(measured.statuses) != {200}:
                raise SystemExit(f"the quiet one was refused: {dict(measured.statuses)}")
        silent.append(before.percentile(0.95))
        noised.append(during.percentile(0.95))
        ratios.append(noised[-1] / silent[-1])
    return {
        "ratio": round(statistics.median(ratios), 2),
        "target_ratio": TARGET,
        "quiet_p95_ms": round(statistics.median(silent), 1),
        "noisy_p95_ms": round(statistics.median(noised), 1),
        "refused": flood.statuses[429],
        "let_through": flood.statuses[200],
        "until_the_limit": sum(used_up.statuses.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcbench") as place, running_product(Path(place)):
        found = measure(rounds=options.rounds, seconds=options.seconds)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"p95 of the quiet organisation: {found['quiet_p95_ms']} ms alone,"
            f" {found['noisy_p95_ms']} ms beside a flood ({found['refused']} of"
            f" {found['refused'] + found['let_through']} refused); ratio {found['ratio']:.2f}"
            f" (target ≤ {TARGET})"
        )
    sys.exit(int(found["ratio"] > TARGET))


if __name__ == "__main__":
    main()
