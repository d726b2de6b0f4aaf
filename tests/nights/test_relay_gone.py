"""The relay is gone for an hour: nobody is unpaired, and everybody is back by themselves.

The runtime waits 5 minutes at most between two attempts. Here it waits half a second, so that the
seconds of the test hold as many attempts as the hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import httpx
from django.utils import timezone

from pulsecloud.processes import die_with_parent
from relay.models import RelayStatus
from tenants.models import Organisation
from tests.nights.asking import readiness
from tests.nights.paired import paired
from tests.product import ROOT, Product, looking_into_its_own, running_product
from tests.waiting import until

QUICK = {"PULSE_RUNTIME_BACKOFF": "100ms", "PULSE_RUNTIME_BACKOFF_MAX": "500ms"}
ATTEMPTS = 12  # of one organisation in an hour, at 5 minutes each


class RelayProcess:
    """The product's relay, past its supervisor, so that it stays away when it is killed."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.product.data_dir / "logs" / "relay.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "relay"],
                cwd=ROOT,
                env=self.product.environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
            )
        until(self.ready, 40, every=0.1, what="the relay is ready")

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.product.relay[1]}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def own_relay(product: Product) -> Iterator[RelayProcess]:
    relay = RelayProcess(product)
    relay.start()
    try:
        yield relay
    finally:
        relay.kill()


def connected() -> int:
    return RelayStatus.objects.filter(connected=True).count()


def attempts(product: Product) -> float:
    """How often the runtime found no relay, by its own counter."""
    text = httpx.get(f"http://127.0.0.1:{product.web[1]}/metrics", timeout=20).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("pulsecloud_runtime_connects_total") and "unreachable" in line
    )


def test_phones_stay_paired_and_all_come_back(live_db: None) -> None:
    with (
        running_product(without=("relay",), **QUICK) as product,
        looking_into_its_own(product),
        own_relay(product) as relay,
        ExitStack() as stack,
    ):
        members = [product.signed_up(enter=True) for _ in range(3)]
        until(lambda: connected() == 3, 30, what="all are connected")
        phones = [stack.enter_context(paired(member)) for member in members]
        for phone in phones:
            until(phone.works, 20, every=0.2, what="the phone works")
        pids, begun = product.pids(), attempts(product)

        relay.kill()
        until(lambda: connected() == 0, 30, what="nobody is connected")
        until(lambda: attempts(product) >= begun + ATTEMPTS * len(members), 60, every=0.5)
        # Active for longer than a moment, or it would be no news.
        Organisation.objects.update(provisioned_at=timezone.now() - timedelta(minutes=5))
        status, facts = readiness(product)
        assert status == 200, "people sign in and work all the same"
        assert "none is connected to the relay" in facts["nobody_connected"]
        assert "All connect by themselves" in facts["nobody_connected"]
        for member, phone in zip(members, phones, strict=True):
            said = member.browser.expect(
                200, "GET", "/api/settings/relay/status", host=member.host
            ).json()
            assert not said["connected"] and "cannot be reached" in said["last_error"]
            phone.hang_up()
            assert not phone.works()
        assert product.log("runtime").count("not connected") <= 2 * len(members), "a line each"

        relay.start()
        until(lambda: connected() == 3, 20, what="all are back")
        for phone in phones:
            until(phone.works, 20, every=0.2, what="the phone works again")
            assert "AUTH_FAILED" not in phone.refusals, "it would have deleted its pairing"
        assert {name: product.pids()[name] for name in pids} == pids
        assert "nobody_connected" not in readiness(product)[1]
