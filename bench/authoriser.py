"""The authoriser's answer from a warm cache, as the door asks for it at every request.

    python -m bench.authoriser [--rounds 200000] [--json]

Needs no database: the cache is filled by hand with what a person of each kind has. One answer is
looking up the person's rights at the organisation's version, and asking them. Microseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

TARGET_US = 20.0
BATCH = 1000


def measure(rounds: int) -> dict[str, Any]:
    """Median and 99th percentile over batches of 1,000 answers, and of the worst kind of person."""
    import uuid

    from rbac import cache
    from rbac.authorizer import Grant, Rights, rights_of
    from tenants.models import Organisation

    organisation = Organisation(schema_name=f"org_{uuid.uuid4().hex}", rbac_version=1)
    many = [Grant("read", f"resource-{n}") for n in range(100)]
    kinds = {
        "administrator": [Grant("admin", "*")],
        "hundred_permissions": [*many, Grant("write", "nodes", "deny")],
        "conditions": [*many, Grant("read", "nodes:*", "allow", {"user": "${user}"})],
    }
    questions = [("read", "settings"), ("write", "nodes"), ("admin", "users"), ("read", "nodes:1")]
    found: dict[str, Any] = {}
    for kind, grants in kinds.items():
        person = uuid.uuid4()
        attributes = {"user": str(person)}
        cache.put(organisation.schema_name, person, 1, Rights(grants))
        batches = []
        for _ in range(max(10, rounds // BATCH)):
            started = time.perf_counter()
            for number in range(BATCH):
                action, resource = questions[number % len(questions)]
                rights_of(organisation, person).allow(action, resource, attributes)
            batches.append((time.perf_counter() - started) / BATCH * 1e6)
        found[kind] = {
            "median_us": round(statistics.median(batches), 2),
            "p99_us": round(statistics.quantiles(batches, n=100)[98], 2),
        }
    worst = max(kind["median_us"] for kind in found.values())
    return {**found, "worst_median_us": worst, "target_us": TARGET_US, "ok": worst < TARGET_US}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pulsecloud.settings")
    import django

    django.setup()
    result = measure(options.rounds)
    if options.json:
        print(json.dumps(result))
    else:
        for kind in ("administrator", "hundred_permissions", "conditions"):
            numbers = result[kind]
            print(f"{kind:20} median {numbers['median_us']} µs, p99 {numbers['p99_us']} µs")
        print(f"{'within' if result['ok'] else 'over'} the target of {TARGET_US} µs")
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
