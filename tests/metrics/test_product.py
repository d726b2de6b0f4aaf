"""/metrics of a running product: its processes count into one place, and kill -9 loses nothing."""

from __future__ import annotations

import httpx
import pytest

from tests.metrics.scrape import Key, parsed, value
from tests.product import Product
from tests.waiting import until

SIGNUPS = "pulse_hosted_signups_total"
PROVISIONS = "pulse_hosted_provisions_total"


def scrape(product: Product) -> dict[Key, float]:
    answer = product.browser().request("GET", "/metrics")
    assert answer.status_code == 200
    return parsed(answer.content)


def answers(product: Product) -> bool:
    try:
        return product.browser().request("GET", "/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.covers("F72")
def test_web_and_worker_count_together_and_survive_kill_9(product: Product) -> None:
    before = scrape(product)
    product.signed_up()
    after = scrape(product)
    assert value(after, SIGNUPS) == value(before, SIGNUPS) + 1  # counted by web
    done = value(before, PROVISIONS, status="success") + 1  # counted by the worker
    until(lambda: value(scrape(product), PROVISIONS, status="success") == done, 10)

    killed = {name: product.kill(name) for name in ("web", "worker")}
    until(
        lambda: all(product.pids().get(name) not in (None, pid) for name, pid in killed.items()), 60
    )
    until(lambda: answers(product), 60)
    member = product.signed_up()
    until(lambda: value(scrape(product), PROVISIONS, status="success") == done + 1, 10)
    found = scrape(product)
    assert value(found, SIGNUPS) == value(before, SIGNUPS) + 2
    assert value(found, "pulse_hosted_active_tenants") == value(
        before, "pulse_hosted_active_tenants"
    )
    text = product.browser().request("GET", "/metrics").text
    assert member.label not in text
    assert str(member.id) not in text
