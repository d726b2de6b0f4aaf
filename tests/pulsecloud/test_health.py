"""/livez, /readyz and /metrics of the web process: on any host, and honest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from pulsecloud import health
from tests.product import Product


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def worker(db: None) -> None:
    """A worker that has just given a sign of life."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_workers")
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")


@pytest.fixture
def entitlement_key(settings: Any) -> None:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = "c29tZSBrZXk="


def facts(client: Client) -> set[str]:
    answer = client.get("/readyz")
    found = {each["fact"] for each in answer.json()["blocking"]}
    assert answer.status_code == (503 if found else 200)
    return found


@pytest.mark.covers("F73")
@pytest.mark.parametrize("host", ["localhost", "10.1.2.3", "anything.example.com", "a.localhost"])
def test_answers_on_any_host(client: Client, host: str) -> None:
    assert client.get("/livez", headers={"host": host}).status_code == 200
    assert client.get("/", headers={"host": "anything.example.com"}).status_code == 404


def test_ready(client: Client, worker: None, entitlement_key: None) -> None:
    assert facts(client) == set()


def test_silent_worker_blocks(client: Client, worker: None, entitlement_key: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 s'")
    assert facts(client) == {"worker_silent"}


@pytest.mark.covers("F79")
def test_missing_entitlement_key_blocks(
    client: Client, worker: None, settings: Any, tmp_path: Path
) -> None:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = ""
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "key")
    assert facts(client) == {"entitlement_key_missing"}
    (tmp_path / "key").write_text("c29tZSBrZXk=\n")
    assert facts(client) == set()


def test_pending_migration_blocks(client: Client, worker: None, entitlement_key: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'audit'")
    assert facts(client) == {"migrations_pending"}
    assert {app for app, _ in health.missing_migrations()} == {"audit"}


@pytest.mark.covers("F73")
class TestWhoMayReadMetrics:
    def test_loopback(self, client: Client, db: None) -> None:
        assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 200
        assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200

    @pytest.mark.parametrize("address", ["10.0.0.7", "192.0.2.1", "not an address", ""])
    def test_nobody_else(self, client: Client, address: str) -> None:
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == 404

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
    def test_nobody_behind_a_proxy_on_loopback(self, client: Client, header: str) -> None:
        answer = client.get("/metrics", REMOTE_ADDR="127.0.0.1", headers={header: "127.0.0.1"})
        assert answer.status_code == 404

    def test_the_token_from_anywhere(self, client: Client, db: None, settings: Any) -> None:
        settings.METRICS_TOKEN = "let me see"
        good = {"authorization": "Bearer let me see"}
        assert client.get("/metrics", REMOTE_ADDR="10.0.0.7", headers=good).status_code == 200
        for bad in ("Bearer let me", "Bearer ", "Basic let me see", "let me see"):
            answer = client.get("/metrics", REMOTE_ADDR="10.0.0.7", headers={"authorization": bad})
            assert answer.status_code == 404


def test_request_id_is_given_or_taken(client: Client) -> None:
    made = client.get("/nowhere").headers["X-Request-Id"]
    assert len(made) == 32
    assert (
        client.get("/nowhere", headers={"x-request-id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    )
    for bad in ("a b", "x" * 65, "<script>", ""):
        taken = client.get("/nowhere", headers={"x-request-id": bad}).headers["X-Request-Id"]
        assert taken != bad and len(taken) == 32


def test_the_running_product_says_it_too(product: Product) -> None:
    import httpx

    base = f"http://127.0.0.1:{product.web[1]}"
    ready = httpx.get(f"{base}/readyz", headers={"Host": "elsewhere.example.com"})
    assert ready.status_code == 200 and ready.json()["blocking"] == []
    exposition = httpx.get(f"{base}/metrics")
    assert exposition.status_code == 200
    assert "pulse_hosted_active_tenants" in exposition.text
