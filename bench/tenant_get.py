"""An authenticated GET through the door of an organisation, against the same view as plain Django.

Two servers of the same kind (gunicorn as shipped, same workers and threads) on one database: the
product, and `bench.plain_settings`, where tenancy, roles and limits are left out. Short rounds of
both in turn, by session and by token; the number is the ratio of requests a second, the median of
the rounds. Enough people take turns that the product's own limits stay as they are.

    python -m bench.tenant_get [--rounds 5] [--seconds 3] [--path /api/organisation] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import gets
from bench.people import Tenant, make_tenant
from bench.product import ROOT, free_port, reachable, running_product

TARGET = 0.6
TENANTS = 12  # times 2000 requests a minute
MEMBERS = 4  # of each, times 600


def measure(path: str, *, rounds: int, seconds: float, tenants: int) -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    made = [make_tenant(members=MEMBERS) for _ in range(tenants)]
    with plain_server(made[0]) as plain:
        ways = {
            "session": (_each(made, "by_session", path), made[0].by_session(path)),
            "token": (_each(made, "by_token", path), made[0].by_token(path)),
        }
        return {
            "path": path,
            "target_ratio": TARGET,
            **{
                way: _compare(settings.WEB_ADDR, plain, *requests, rounds=rounds, seconds=seconds)
                for way, requests in ways.items()
            },
        }


def _each(tenants: list[Tenant], way: str, path: str) -> list[bytes]:
    """Everybody's request, neighbours from different organisations."""
    return [request for turn in zip(*(getattr(t, way)(path) for t in tenants), strict=True)
            for request in turn]  # fmt: skip


def _compare(
    ours: tuple[str, int],
    plain: tuple[str, int],
    our_requests: list[bytes],
    plain_requests: list[bytes],
    *,
    rounds: int,
    seconds: float,
) -> dict[str, float]:
    gets.run(ours, our_requests, seconds=1)  # warm: connections, templates, caches
    gets.run(plain, plain_requests, seconds=1)
    found: list[tuple[gets.Measured, gets.Measured]] = []
    for _ in range(rounds):
        pair = (
            gets.run(ours, our_requests, seconds=seconds),
            gets.run(plain, plain_requests, seconds=seconds),
        )
        for measured in pair:
            if set(measured.statuses) != {200}:
                raise SystemExit(f"not every answer was 200: {dict(measured.statuses)}")
        found.append(pair)
    return {
        "ratio": round(statistics.median(o.per_second / p.per_second for o, p in found), 3),
        "tenant_per_second": round(statistics.median(o.per_second for o, _ in found), 1),
        "plain_per_second": round(statistics.median(p.per_second for _, p in found), 1),
        "tenant_p50_ms": round(statistics.median(o.percentile(0.5) for o, _ in found), 2),
        "plain_p50_ms": round(statistics.median(p.percentile(0.5) for _, p in found), 2),
    }


@contextmanager
def plain_server(tenant: Tenant) -> Iterator[tuple[str, int]]:
    """The comparison: gunicorn with the product's configuration and other settings."""
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bench.plain_settings",
        "BENCH_SCHEMA": tenant.schema_name,
        "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{port}",
        "PULSECLOUD_PROCESS": "plain",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf"]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not reachable(f"http://127.0.0.1:{port}/livez"):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(log.read().decode(errors="replace")[-2000:])
                time.sleep(0.1)
            yield "127.0.0.1", port
        finally:
            server.terminate()
            server.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--path", default="/api/organisation")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcbench") as place, running_product(Path(place)):
        found = measure(
            options.path, rounds=options.rounds, seconds=options.seconds, tenants=TENANTS
        )
    missed = min(found["session"]["ratio"], found["token"]["ratio"]) < TARGET
    if options.json:
        print(json.dumps(found, indent=2))
        sys.exit(int(missed))
    print(f"GET {options.path}, requests a second, medians of {options.rounds} rounds")
    for way in ("session", "token"):
        row = found[way]
        print(
            f"  by {way:8} tenant {row['tenant_per_second']:7.1f}   plain"
            f" {row['plain_per_second']:7.1f}   ratio {row['ratio']:.2f} (target ≥ {TARGET})"
        )
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
