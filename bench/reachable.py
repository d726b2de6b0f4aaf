"""Mailbox proved → relay connected, over canary organisations on a running product.

Both moments are read from the database (`mailbox_proved_at`, `connected_at`), written by web and
runtime on one machine. The comparison in the same run is what the schema alone would cost if
`migrate` made it. Run it on an idle machine:

    python -m bench.reachable [--organisations 50] [--json]
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.product import running_product


def measure(organisations: int) -> dict[str, Any]:
    import django

    django.setup()
    from audit.actors import Actor
    from pulsecloud.proof.browser import Browser
    from pulsecloud.proof.canary import until
    from relay.models import RelayStatus
    from tenants import invitations, lifecycle, schemas
    from tenants.models import Organisation

    actor = Actor.system("bench")
    waits: list[float] = []
    labels: list[tuple[str, str]] = []
    for _ in range(organisations):
        label = f"canary-{secrets.token_hex(6)}"
        email = f"{label}@canary.example.test"
        labels.append((label, email))
        token = invitations.invite(
            email=email, canary=True, note="bench", actor=actor, reason="bench"
        ).token
        browser = Browser()
        page = browser.expect(200, "GET", "/signup")
        browser.submit(
            page,
            path="/signup",
            email=email,
            org_name=label,
            host_label=label,
            invitation=token,
        )
        browser.close()
        status = until(
            lambda: RelayStatus.objects.filter(
                organisation__label=label,  # noqa: B023
                connected=True,
            ).first(),
            30.0,
            f"{label} did not connect",
        )
        organisation = Organisation.objects.get(label=label)
        assert status.connected_at and organisation.mailbox_proved_at
        waits.append((status.connected_at - organisation.mailbox_proved_at).total_seconds())
        time.sleep(0.1)

    migrated: list[float] = []
    for _ in range(5):
        name = schemas.new_schema_name()
        started = time.monotonic()
        schemas.migrate_schema(name)
        migrated.append(time.monotonic() - started)
        schemas.drop_schema(name)
    for label, email in labels:
        lifecycle.purge_canary(label=label, email=email, actor=actor, reason="bench")

    waits.sort()
    return {
        "organisations": organisations,
        "p50_s": round(statistics.median(waits), 3),
        "p95_s": round(waits[int(len(waits) * 0.95) - 1], 3),
        "max_s": round(waits[-1], 3),
        "comparison_migrate_one_schema_s": round(statistics.median(migrated), 3),
        "targets": {"p50_s": 0.5, "p95_s": 1.0},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organisations", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcbench") as place, running_product(Path(place)):
        found = measure(options.organisations)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print("mailbox proved → relay connected, seconds")
    print(f"  organisations {found['organisations']}")
    print(f"  p50 {found['p50_s']:.3f} (target < 0.5)   p95 {found['p95_s']:.3f} (target < 1)")
    print(f"  max {found['max_s']:.3f}")
    print(
        f"  for comparison, migrating one schema alone: {found['comparison_migrate_one_schema_s']:.3f}"
    )


if __name__ == "__main__":
    main()
