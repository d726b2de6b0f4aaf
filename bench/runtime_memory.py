"""Memory of the runtime process: idle, with 100 organisations connected, and with a phone at each.

Everything is real: a running product, canary organisations signed up through the page, reference
phones. The comparison in the same run is one process for each organisation, which is what the
runtime's base costs times their number. On Linux:

    python -m bench.runtime_memory [--organisations 100] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.product import running_product

TARGET_MIB = 150.0


@dataclass
class Paired:
    label: str
    email: str
    link: str


def resident(pid: int) -> float:
    """MiB of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS: this measurement needs Linux")


def sign_up() -> Paired:
    """A canary organisation, connected, and the pairing link of its owner's phone."""
    from audit.actors import Actor
    from pulsecloud.proof.browser import Browser
    from pulsecloud.proof.canary import until
    from tenants import invitations

    label = f"canary-{secrets.token_hex(6)}"
    email = f"{label}@canary.example.test"
    token = invitations.invite(
        email=email, canary=True, note="bench", actor=Actor.system("bench"), reason="bench"
    ).token
    browser = Browser()
    page = browser.expect(200, "GET", "/signup")
    browser.submit(
        page, path="/signup", email=email, org_name=label, host_label=label, invitation=token
    )
    until(
        lambda: browser.expect(200, "GET", "/signup/status").json()["state"] == "active" or None,
        30.0,
        f"{label} is not active",
    )
    host = browser.enter(label)

    def ask(method: str, path: str, **rest: Any) -> Any:
        return browser.expect(200, method, path, host=host, **rest).json()

    until(
        lambda: ask("GET", "/api/settings/relay/status")["connected"] or None,
        30.0,
        f"{label} did not connect",
    )
    secret = ask("POST", "/api/security/tokens/relay-mobile", json={"name": "bench"})["token"]
    found = ask("GET", "/api/onboarding/deep-link", headers={"X-API-Token": secret})
    browser.close()
    return Paired(label, email, found["url"])


async def with_phones(paired: list[Paired], pid: int) -> float:
    """MiB while every organisation has a phone that asked once."""
    from relay.phone import Phone

    phones = [Phone.from_link(each.link) for each in paired]
    for phone in phones:
        await phone.open()
        await phone.request("GET", "/api/organisation")
    found = resident(pid)
    for phone in phones:
        await phone.close()
    return found


def measure(organisations: int) -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    from audit.actors import Actor
    from tenants import lifecycle

    pid = int(json.loads((settings.DATA_DIR / "up.json").read_text())["runtime"])
    before = resident(pid)
    paired = [sign_up() for _ in range(organisations)]
    connected = resident(pid)
    phones = asyncio.run(with_phones(paired, pid))
    for each in paired:
        lifecycle.purge_canary(
            label=each.label, email=each.email, actor=Actor.system("bench"), reason="bench"
        )
    return {
        "organisations": organisations,
        "before_mib": round(before, 1),
        "connected_mib": round(connected, 1),
        "connected_with_a_phone_each_mib": round(phones, 1),
        "comparison_process_each_mib": round(before * organisations, 1),
        "target_mib": TARGET_MIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organisations", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pulsecloud.settings")
    with tempfile.TemporaryDirectory(prefix="pcbench") as place, running_product(Path(place)):
        found = measure(options.organisations)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"memory of the runtime process, MiB, {found['organisations']} organisations")
        print(f"  before any          {found['before_mib']:8.1f}")
        print(f"  all connected       {found['connected_mib']:8.1f} (target < {TARGET_MIB:.0f})")
        print(f"  and a phone at each {found['connected_with_a_phone_each_mib']:8.1f}")
        print(f"  for comparison, one process each: {found['comparison_process_each_mib']:.0f}")
    sys.exit(0 if found["connected_mib"] < TARGET_MIB else 1)


if __name__ == "__main__":
    main()
