"""Dashboard and rules against a running product: a real Prometheus scrapes it and is asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.utils import timezone

from pulsecloud.processes import die_with_parent
from tenants.models import ReadinessKind, ReadinessRecord
from tests.factories import make_live_organisation
from tests.ops import exposition, rules
from tests.product import Product, free_port
from tests.waiting import until

DASHBOARD = rules.ROOT / "ops" / "grafana" / "pulsecloud.json"
# Families that have no sample before the first of its kind happened.
EMPTY_AT_FIRST = {"pulse_relay_app_connects_total"}

pytestmark = pytest.mark.promtool


def queries() -> list[str]:
    """Every query of the dashboard, its annotations' included."""
    board = json.loads(DASHBOARD.read_text("utf-8"))
    found = [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]
    return [*found, *(each["expr"] for each in board["annotations"]["list"])]


@contextmanager
def prometheus(product: Product, place: Path) -> Iterator[httpx.Client]:
    """Our own configuration with short intervals and this product's ports."""
    own = yaml.safe_load((rules.PLACE / "prometheus.yml").read_text("utf-8"))
    own["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    own["rule_files"] = [str(rules.PLACE / name) for name in own["rule_files"]]
    for job in own["scrape_configs"]:
        port = {"pulsecloud-web": product.web, "pulsecloud-relay": product.relay}[job["job_name"]][
            1
        ]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (place / "prometheus.yml").write_text(yaml.safe_dump(own))
    program, port = shutil.which("prometheus"), free_port()
    assert program
    with (place / "out").open("wb") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={place / 'prometheus.yml'}",
                f"--storage.tsdb.path={place / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent(),
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)


def ask(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", (query, answer)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def exposed(product: Product) -> dict[str, list[dict[str, str]]]:
    with httpx.Client(trust_env=False) as client:
        return exposition.series(
            client.get(f"http://127.0.0.1:{port}/metrics").text
            for port in (product.web[1], product.relay[1])
        )


@pytest.fixture
def busy(product: Product) -> Product:
    """With an organisation, a proof and drills; nobody has connected by phone."""
    make_live_organisation()
    product.signed_up()
    for kind in ReadinessKind:
        if not ReadinessRecord.objects.filter(kind=kind).exists():
            ReadinessRecord.objects.create(
                kind=kind, passed=True, started_at=timezone.now(), seconds=2.0, version="test"
            )
    return product


def test_every_query_of_the_dashboard_finds_something(busy: Product, tmp_path: Path) -> None:
    with prometheus(busy, tmp_path) as client:

        def scraped() -> bool:
            try:
                return len(ask(client, "sum by (job) (count_over_time(up[1m]) > 8) > 0")) == 2
            except (httpx.TransportError, ValueError):  # it says in plain text that it starts
                return False

        until(scraped, 60, every=0.5, what="Prometheus scraped both")
        assert {each["value"][1] for each in ask(client, "up")} == {"1"}
        names = exposed(busy)
        for query in queries():
            if ask(client, query):
                continue
            read = {selector.name for selector in rules.selectors(query)}
            assert read <= EMPTY_AT_FIRST | rules.OF_PROMETHEUS, query
            assert read - rules.OF_PROMETHEUS <= names.keys(), query

        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        assert len(found) == len(rules.alerts()) + len(rules.recordings())
        assert {rule["health"] for rule in found} == {"ok"}, [
            (rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"
        ]


def test_every_series_that_a_rule_reads_is_there(busy: Product) -> None:
    """A name or a label that nobody exposes would make an alert that never fires."""
    there = exposed(busy)
    for rule in [*rules.recordings(), *rules.alerts()]:
        for selector in rules.selectors(rule["expr"]):
            if ":" in selector.name or selector.name in rules.OF_PROMETHEUS:
                continue
            assert selector.name in there, (selector, rule.get("alert", rule.get("record")))
            assert any(exposition.selects(selector, labels) for labels in there[selector.name]), (
                selector
            )
