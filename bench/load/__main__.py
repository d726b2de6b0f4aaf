"""The load test: sign-ups, API, relay and life cycle of many organisations, and a noisy one.

    python -m bench.load [--organisations 100] [--seconds 120] [--json]     (make load)

Starts a product of its own on loopback, in a temporary directory, with its own limits on. All
organisations but one are used at a steady pace throughout; the noisy one comes and goes in turns, has
used its request limit up, and goes on asking at about twice the pace that it may. Every answer is
looked at: the right status, and no text of another organisation. Ends by itself.

Pace and limit go by the cores, which product, database and crowd share here; four bear an organisation
at the usual limit. What is asked is what a neighbour costs, and on cores that are used up everybody is
slow whoever the neighbours are. --pace asks for another pace, and then it is reported and not judged.

Exit code 0: passed. 1: an answer was wrong, or leaked, an organisation was not at the relay in the
end, or, in a run of a minute or more, the others' p95 beside the noisy one was over 1.5 times the
quiet one. 2: it could not be run. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.gets import get, run
from bench.load import measuring
from bench.load.measuring import Report, Sample, Stretch
from bench.load.orders import Worker
from bench.product import running_product

PHONES: Final = 0.25  # of the organisations have one connected
OWNED: Final = 0.05  # of them are suspended, lifted, deleted and restored
CORES: Final = len(os.sched_getaffinity(0))
API_PACE: Final = 7.5 * CORES  # requests a second of all others together
RELAY_SHARE: Final = 1 / 3  # as many of these
API_EACH: Final = 3.0  # and of each of them at most, or their own limits would refuse some
API_CONNECTIONS: Final = 8
LIMIT: Final = min(2000, 500 * CORES)  # requests a minute that an organisation may
NOISY_PACE: Final = 2.1 * LIMIT / 60  # a second
NOISY_CONNECTIONS: Final = 4
NOISY_TOKENS: Final = 8  # one alone would be refused by its own limit first
STRETCH: Final = 10.0  # seconds of silence, then of noise
WARM_UP: Final = 3.0
READY: Final = 240.0  # seconds that the product may take to start


def measure(
    *, organisations: int, seconds: float, pace: float, say: Callable[[str], None]
) -> Report:
    import django

    django.setup()
    from django.conf import settings
    from django.db import connections

    from bench.load import world
    from bench.load.living import Life

    port = settings.WEB_ADDR[1]
    phones = max(1, round(organisations * PHONES))
    tenants = world.make(organisations, phones=phones, noisy_tokens=NOISY_TOKENS, say=say)
    noisy = tenants[-1]
    owned = tenants[-1 - max(1, round(organisations * OWNED)) : -1]
    quiet = [tenant for tenant in tenants if tenant is not noisy and tenant not in owned]
    asked = [request for tenant in quiet for request in tenant.requests()]
    noise = noisy.requests(("/api/organisation",) * NOISY_TOKENS)
    pairs = max(1, round(seconds / STRETCH / 2))
    length, api_pace = seconds / pairs / 2, min(pace, API_EACH * len(quiet))
    used_up = [get(each["path"], each["host"], **_plain(each["headers"])) for each in noise]
    life, stretches, heard = Life(owned), list[Stretch](), list[Sample]()
    api = {"port": port, "kind": "api", "requests": asked, "connections": API_CONNECTIONS}
    loud = {"port": port, "kind": "noise", "requests": noise, "connections": NOISY_CONNECTIONS}
    paired = [{"link": tenant.link, "label": tenant.label} for tenant in tenants if tenant.link]
    crowd = [
        Worker("asking", {**api, "pace": api_pace, "refusals": False}),
        Worker("talking", {"phones": paired, "pace": pace * RELAY_SHARE}),
    ]
    say(f"{organisations} organisations at work")
    try:
        with life.going_on():
            time.sleep(WARM_UP)
            for number in range(pairs):
                stretches.append(_stretch(False, length))
                # At its limit from the first moment on. Takes seconds that count for nothing.
                run(settings.WEB_ADDR, used_up, seconds=60, until_status=429)
                crowd.append(Worker("asking", {**loud, "pace": NOISY_PACE, "refusals": True}))
                stretches.append(_stretch(True, length))
                heard += crowd.pop().stop()
                say(f"{round((number + 1) * length * 2)} of {seconds:g} s")
        others = [*crowd[0].stop(), *crowd[1].stop(), *life.samples]
        connected = world.connected_in_the_end([*quiet, noisy])
    finally:
        for worker in crowd:
            worker.close()
        connections.close_all()
    return measuring.report(
        organisations=organisations,
        stretches=stretches,
        others=others,
        noise=heard,
        connected=connected,
        should_be_connected=len(quiet) + 1,
        usual_pace=pace == API_PACE,
    )


def _stretch(noisy: bool, seconds: float) -> Stretch:
    """Waits as long, and says when that was."""
    begin = time.monotonic()
    time.sleep(seconds)
    return Stretch(noisy, begin, time.monotonic())


def _plain(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench load", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--organisations", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="S", help="default: 120")
    parser.add_argument(
        "--pace", type=float, default=API_PACE, metavar="N",
        help="API requests a second of all others together, and a third as many by phones;\n"
        f"default: 7.5 for each core, {API_PACE:g} here",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    if options.organisations < 4 or not 4 <= options.seconds <= 86_400:
        parser.error("at least 4 organisations, and 4 seconds to a day")
    if not 1 <= options.pace <= 1000:
        parser.error("--pace is 1 to 1,000 requests a second")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    os.environ["PULSECLOUD_REQUESTS_PER_ORGANISATION"] = str(LIMIT)
    with tempfile.TemporaryDirectory(prefix="pcload") as place, running_product(Path(place), READY):
        found = measure(
            organisations=options.organisations,
            seconds=options.seconds,
            pace=options.pace,
            say=say,
        )
    print(json.dumps(found.document(), indent=2) if options.json else found.text())
    sys.exit(1 if found.failures else 0)


if __name__ == "__main__":
    main()
