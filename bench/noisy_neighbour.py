"""What one organisation at its limit costs another: the p95 of the quiet one's requests.

Quiet and noisy rounds in turn on one running product with its own limits. Before each noisy round
the noisy organisation uses its limit up, and then goes on asking at about twice the pace that it
may, so that every second request is refused; the quiet one asks at a person's pace. The number is the quiet p95 under
noise over that in silence, the median of the rounds. With `--flood` the noise has no pace at all:
it asks as fast as it gets answers, which takes whatever the cores have, and has no target.

    python -m bench.noisy_neighbour [--rounds 5] [--seconds 6] [--flood] [--json]
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

from bench import gets
from bench.people import make_tenant
from bench.product import running_product

TARGET = 1.5
PATH = "/api/organisation"
NOISY = 4  # connections that ask
NOISY_PAUSE = 0.055  # after each answer: some 70 requests a second, of 33 that are allowed
QUIET = 2  # connections that ask, wait for PAUSE, and ask again
PAUSE = 0.1  # some 18 requests a second, half of what its own limit allows


def measure(*, rounds: int, seconds: float, flood: bool) -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    noisy, quiet = make_tenant(members=8), make_tenant(members=8)
    noise, calm = noisy.by_token(PATH), quiet.by_token(PATH)
    address: tuple[str, int] = settings.WEB_ADDR
    gets.run(address, calm, seconds=1)
    ratios, silent, noised, heard = [], [], [], gets.Measured()
    pace = 0.0 if flood else NOISY_PAUSE
    for _ in range(rounds):
        before = gets.run(address, calm, seconds=seconds, connections=QUIET, pause=PAUSE)
        gets.run(address, noise, seconds=60, connections=8, until_status=429)
        made: list[gets.Measured] = []
        thread = threading.Thread(
            target=lambda made=made: made.append(
                gets.run(address, noise, seconds=seconds, connections=NOISY, pause=pace)
            )
        )
        thread.start()
        during = gets.run(address, calm, seconds=seconds, connections=QUIET, pause=PAUSE)
        thread.join()
        heard.add(made[0])
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
        "refused": heard.statuses[429],
        "let_through": heard.statuses[200],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcbench") as place, running_product(Path(place)):
        found = measure(rounds=options.rounds, seconds=options.seconds, flood=options.flood)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"p95 of the quiet organisation: {found['quiet_p95_ms']} ms alone,"
            f" {found['noisy_p95_ms']} ms beside noise ({found['refused']} of"
            f" {found['refused'] + found['let_through']} refused); ratio {found['ratio']:.2f}"
            f" (target ≤ {TARGET})"
        )
    sys.exit(int(found["ratio"] > TARGET and not options.flood))


if __name__ == "__main__":
    main()
