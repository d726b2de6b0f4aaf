"""Many ask many organisations at once while everything moves: no answer holds a foreign marker.

`make test-isolation` asks 100,000 times; here it is a few hundred. ISOLATION_REQUESTS says how often.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.isolation import crowd
from tests.isolation.turmoil import Turmoil
from tests.isolation.world import make_tenant, requests
from tests.product import ROOT, Product, free_port
from tests.waiting import until

REQUESTS = int(os.environ.get("ISOLATION_REQUESTS", "600"))
TENANTS = 4


@pytest.mark.timeout(120 + REQUESTS // 4)
@pytest.mark.covers("F12", "F13", "F15", "F16", "F19", "F23")
def test_no_answer_holds_a_foreign_marker(product: Product) -> None:
    tenants = [make_tenant() for _ in range(TENANTS)]
    asked = requests(tenants)
    alone = {(r.path, r.host, *r.headers.values()): r for r in requests(tenants[:2])}
    for request in alone.values():  # alone first: what fails then fails clearly
        answer = httpx.get(
            f"http://127.0.0.1:{product.web[1]}{request.path}",
            headers={"Host": request.host, **request.headers},
            timeout=60,
        )
        assert answer.status_code == request.status, (request, answer.text[:300])
    turmoil = Turmoil(product.web[1], tenants)
    with turmoil.going_on():
        seen = crowd.send(product.web[1], asked, count=REQUESTS)
    print(f"\n{seen}\nmeanwhile: {dict(turmoil.did)}")
    assert turmoil.wrong == []
    assert seen.leaks == 0, seen.some_leaks
    assert seen.unexpected == {}
    assert seen.done >= REQUESTS
    assert seen.share_of_200 >= 0.9
    # The markers are where the run looks: almost every 200 shows its organisation's own.
    assert seen.with_own_marker > 0.8 * seen.statuses["200"]
    for done in ("roles changed", "tokens issued and revoked", "organisations made and purged"):
        assert turmoil.did[done] > 0


def test_a_planted_hole_is_found(product: Product) -> None:
    """The same crowd at a web server with a hole in it: the run must not be blind."""
    tenants = [make_tenant() for _ in range(3)]
    with leaky_web(product) as port:
        seen = crowd.send(port, requests(tenants), count=200, threads=8)
    assert seen.leaks > 0, seen


def test_a_foreign_marker_in_a_row_is_found(product: Product) -> None:
    """Whatever the way it came there."""
    mine, other = make_tenant(), make_tenant()
    mine.organisation.display_name = f"Company {other.marker}"
    mine.organisation.save()
    asked = [r for r in requests([mine, other]) if r.path == "/api/organisation"]
    seen = crowd.send(product.web[1], asked, count=60, processes=1)
    assert 0 < seen.leaks < seen.done
    assert {leak["host"] for leak in seen.some_leaks} == {mine.host}
    assert seen.some_leaks[0]["foreign"] == [other.marker]


@contextmanager
def leaky_web(product: Product) -> Iterator[int]:
    """One more web server on the product's database, with the hole."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:pulsecloud.gunicorn_conf"],
        cwd=ROOT,
        env={
            **product.environment,
            "DJANGO_SETTINGS_MODULE": "tests.isolation.leaky_settings",
            "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{port}",
            "PULSECLOUD_WEB_WORKERS": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert server.poll() is None, "the web server ended"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 60)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def test_every_organisation_has_a_marker_of_its_own() -> None:
    """Else a leak between two of them could not be seen."""
    from tests.isolation.markers import new_marker, seen

    markers = [new_marker() for _ in range(100)]
    assert len(set(markers)) == 100
    assert seen(f"<a>{markers[0].upper()}</a>{markers[1]}x".encode()) == set(markers[:2])
