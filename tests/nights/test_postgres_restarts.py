"""PostgreSQL restarts under people's hands: 503 for a moment, and nothing else is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pulsecloud.processes import alive
from tests.nights.asking import readiness, ready
from tests.nights.paired import paired
from tests.product import Member, Product, looking_into_its_own, running_product
from tests.waiting import until

OTHERS = ("web", "relay", "worker", "runtime")
# What an owner's page, a program and a health check may be told while the database is away.
FINE = {200, 503}


def test_everybody_waits_and_nobody_is_put_out(live_db: None) -> None:
    with running_product() as product, looking_into_its_own(product):
        member = product.signed_up(enter=True)
        with paired(member) as phone, paired(member) as other:
            until(phone.works, 20, every=0.2, what="the phone works")
            connected, pids = phone.phone, product.pids()
            with watched(product, member) as seen, down(product):
                what_to_do_is_told(product)
                assert not other.connect()
                until(lambda: "database does not answer" in product.log("relay"), 20)
            until(lambda: ready(product), 60, every=0.2, what="ready again")
            assert set(seen) <= FINE, seen
            assert 503 in seen
            after = product.pids()
            assert {name: after[name] for name in OTHERS} == {name: pids[name] for name in OTHERS}
            until(lambda: phone.asks() == 200, 30, every=0.2, what="the phone's request")
            assert phone.phone is connected, "its connection did not last"
            until(other.works, 30, every=0.2, what="the other phone")
            assert phone.refusals == set() and other.refusals <= {"INTERNAL_ERROR"}
        proof = product.manage("prove", "--patience", "4", check=False)
        assert proof.returncode == 0, proof.stdout


def what_to_do_is_told(product: Product) -> None:
    """By web's readiness and by the worker's log."""
    facts = until(lambda: readiness(product)[1], 30)
    assert readiness(product)[0] == 503
    assert "The supervisor starts the embedded one again by itself" in facts["database_unreachable"]
    assert "postgres.log" in facts["database_unreachable"]
    until(lambda: "Nothing else has to be restarted" in product.log("worker"), 30)


@contextmanager
def down(product: Product) -> Iterator[None]:
    """A fast shutdown as of `pg_ctl restart`; the supervisor is held so that it stays down."""
    server = product.pids()["postgres"]
    product.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(server, signal.SIGINT)
        until(lambda: not serving(server), 20, what="PostgreSQL ended")
        yield
    finally:
        product.process.send_signal(signal.SIGCONT)


def serving(pid: int) -> bool:
    """A server that nobody waits for is a zombie."""
    if not alive(pid):
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


@contextmanager
def watched(product: Product, member: Member) -> Iterator[Counter[int]]:
    """Statuses that an owner's page and their program see all the time."""
    seen: Counter[int] = Counter()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for host, path in ((None, "/"), (member.host, "/api/organisation")):
                try:
                    seen[member.browser.request("GET", path, host=host).status_code] += 1
                except httpx.TransportError as error:
                    seen[-1] += 1
                    print(type(error).__name__, error)
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
        time.sleep(1)
    finally:
        over.set()
        watcher.join()
