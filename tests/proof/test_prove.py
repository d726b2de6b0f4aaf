"""`manage.py prove` passes on a sound system and names the broken promise on any other."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection

from pulsecloud.proof.record import _PROOF_LOCK
from relay.wire import identity
from tenants.models import ReadinessKind, ReadinessRecord
from tests.drills.lying_web import Lie, lying_web
from tests.product import ROOT, Product, free_port, running_product
from tests.proof.sabotage import tenant_trigger, trigger
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("product")

STEPS = [
    "signed_up",
    "provisioned",
    "lease_issued",
    "relay_connected",
    "qr_real",
    "phone_paired",
    "gauges_moved",
    "request_answered",
    "token_revoked",
    "suspended",
    "purged",
]


def prove(
    product: Product, *, patience: float = 1.0, **environment: str
) -> tuple[int, dict[str, Any]]:
    """(exit code, record) of one proof on this product."""
    kept = dict(product.environment)
    product.environment.update(environment)
    try:
        done = product.manage("prove", "--json", "--patience", str(patience), check=False)
    finally:
        product.environment.clear()
        product.environment.update(kept)
    assert done.stdout.lstrip().startswith("{"), done.stdout + done.stderr
    record: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return done.returncode, record


def failed_step(record: dict[str, Any]) -> str:
    (failed,) = (step["name"] for step in record["steps"] if step["status"] == "failed")
    return str(failed)


@contextmanager
def database() -> Iterator[psycopg.Connection]:
    """The product's own database, past Django, committing at once."""
    settings = connection.get_connection_params()
    wanted = {k: settings[k] for k in ("dbname", "user", "password", "host") if settings.get(k)}
    with psycopg.connect(**wanted, autocommit=True) as direct:
        yield direct


@pytest.mark.covers("F77", "F78")
def test_a_sound_system_passes(product: Product) -> None:
    code, record = prove(product, patience=3)
    assert code == 0, record["blocking"]
    assert [step["name"] for step in record["steps"]] == STEPS
    assert {step["status"] for step in record["steps"]} == {"passed"}
    by_name = {step["name"]: step["evidence"] for step in record["steps"]}
    assert by_name["qr_real"]["instance_id"] == by_name["relay_connected"]["instance_id"]
    assert by_name["token_revoked"]["refused_with"] == "AUTH_FAILED"
    assert by_name["suspended"]["phone_told"] == "INSTANCE_NOT_FOUND"
    assert by_name["purged"] == {"left": []}
    stored = product.manage("prove", "--help").stdout
    assert "--patience" in stored


@pytest.mark.parametrize(
    ("tables", "when", "body", "step"),
    [
        (
            "billing_lease",
            "AFTER INSERT",
            "DELETE FROM public.billing_lease WHERE id = NEW.id; RETURN NEW;",
            "lease_issued",
        ),
        # The registration row is made and gone again at once.
        (
            "tenants_steprecord",
            "AFTER INSERT",
            "DELETE FROM public.relay_registration WHERE organisation_id = NEW.organisation_id;"
            " RETURN NEW;",
            "relay_connected",
        ),
        # The QR names another instance.
        (
            "relay_relaystatus",
            "AFTER INSERT OR UPDATE",
            "IF NEW.connected THEN UPDATE public.relay_registration"
            " SET instance_id = 'relay_' || substr(md5(random()::text), 1, 16)"
            " WHERE organisation_id = NEW.organisation_id; END IF; RETURN NEW;",
            "qr_real",
        ),
        # The QR carries a foreign identity.
        (
            "relay_registration",
            "BEFORE INSERT",
            "NEW.identity_public_key := '{public}'; NEW.identity_fingerprint := '{fingerprint}';"
            " RETURN NEW;",
            "phone_paired",
        ),
        # Suspending answers 200 and changes nothing.
        (
            "tenants_organisation relay_server_blockedinstance",
            "BEFORE INSERT OR UPDATE",
            "IF TG_TABLE_NAME = 'relay_server_blockedinstance' THEN RETURN NULL; END IF;"
            " IF NEW.state = 'suspended' THEN RETURN OLD; END IF; RETURN NEW;",
            "suspended",
        ),
        # Purging forgets the billing state.
        ("billing_billingstate", "BEFORE DELETE", "RETURN NULL;", "purged"),
    ],
    ids=[
        "no lease",
        "registration deleted",
        "foreign instance",
        "foreign identity",
        "suspension",
        "purge",
    ],
)
def test_a_broken_promise_is_named(
    product: Product, tables: str, when: str, body: str, step: str
) -> None:
    public, fingerprint = foreign_identity()
    body = body.format(public=public, fingerprint=fingerprint)
    with database() as direct, trigger(direct, tables=tables.split(), when=when, body=body):
        code, record = prove(product, patience=0.25)
    assert (code, failed_step(record)) == (1, step), record["blocking"]
    assert record["blocking"] and not record["passed"]


def test_a_token_that_stays_valid_is_named(product: Product) -> None:
    body = "NEW.revoked_at := NULL; RETURN NEW;"
    with (
        database() as direct,
        tenant_trigger(direct, table="rbac_apitoken", when="BEFORE UPDATE", body=body),
    ):
        code, record = prove(product)
    assert (code, failed_step(record)) == (1, "token_revoked"), record["blocking"]


@pytest.mark.covers("F79")
def test_a_relay_without_the_entitlement_key_is_named(product: Product) -> None:
    """The old incident: healthy, billed, and no instance ever registered."""
    key_file = product.data_dir / "keys" / "entitlement.pub"
    with replaced(key_file, base64.b64encode(secrets.token_bytes(32)).decode() + "\n"):
        code, record = prove(product, patience=0.25)
    assert (code, failed_step(record)) == (1, "relay_connected"), record["blocking"]


@pytest.mark.parametrize(
    ("process", "step"), [("worker", "provisioned"), ("runtime", "relay_connected")]
)
def test_a_stopped_process_is_named(product: Product, process: str, step: str) -> None:
    with stopped(product.pids()[process]):
        code, record = prove(product, patience=0.05)
    assert (code, failed_step(record)) == (1, step), record["blocking"]


def test_gauges_that_do_not_move_are_named(product: Product) -> None:
    """Read from another relay, the gauges stand still."""
    with idle_relay(product) as address:
        code, record = prove(
            product,
            PULSE_RELAY_ADDR=address,
            PULSE_RELAY_PUBLIC_URL=f"ws://{product.relay[0]}:{product.relay[1]}",
        )
    assert (code, failed_step(record)) == (1, "gauges_moved"), record["blocking"]


@pytest.mark.parametrize("gauge", ["instance_connections", "app_sessions"])
def test_one_gauge_that_stands_still_is_named(product: Product, gauge: str) -> None:
    """At some value: the other one moves, and nobody looks at zero."""
    lie = Lie("GET", "^/metrics$", swap=(rf"(?m)^(pulse_relay_{gauge}) .*", r"\1 7.0"))
    with lying_web(product, lie, before=product.relay) as (host, port):
        code, record = prove(
            product,
            PULSE_RELAY_ADDR=f"{host}:{port}",
            PULSE_RELAY_PUBLIC_URL=f"ws://{product.relay[0]}:{product.relay[1]}",
        )
    assert lie.told
    assert (code, failed_step(record)) == (1, "gauges_moved"), record["blocking"]


def test_a_lost_database_connection_leaves_a_record(live_db: None) -> None:
    """As when PostgreSQL restarts under a proof: what failed is written down, not raised."""
    from pulsecloud.proof.record import show

    def step() -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return {}

    record = show(
        ReadinessKind.PROVE,
        [("cut", "asks the database", step)],
        report=lambda step: None,
        clean_up=lambda: [],
    )
    assert ReadinessRecord.objects.get(pk=record.pk).steps[0]["status"] == "failed"


def test_hosted_mode_off_in_web_is_named(product: Product) -> None:
    """Only the command believes that hosted mode is on."""
    others = ("relay", "worker", "runtime")
    with running_product(database=product.database, without=others, PULSE_HOSTED_MODE="") as closed:
        code, record = prove(product, PULSECLOUD_WEB_ADDR=f"127.0.0.1:{closed.web[1]}")
    assert (code, failed_step(record)) == (1, "signed_up"), record["blocking"]


def test_hosted_mode_off_cannot_be_proved(product: Product) -> None:
    kept = product.environment.pop("PULSE_HOSTED_MODE")
    try:
        done = product.manage("prove", check=False)
    finally:
        product.environment["PULSE_HOSTED_MODE"] = kept
    assert done.returncode == 2
    assert "PULSE_HOSTED_MODE=true" in done.stderr


def test_one_at_a_time(product: Product) -> None:
    with database() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [_PROOF_LOCK])
        done = product.manage("prove", "--wait", "0", check=False)
    assert done.returncode == 2
    assert "Another one runs on this database; wait for it" in done.stderr


def test_it_waits_for_the_one_that_runs(product: Product) -> None:
    """The worker proves by itself every few hours, and an operator just then."""
    with database() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [_PROOF_LOCK])
        with subprocess.Popen(
            [sys.executable, "manage.py", "prove", "--patience", "3"],
            cwd=ROOT,
            env=product.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as proof:
            assert proof.stderr is not None
            assert any("Another one runs" in line for line in proof.stderr)
            other.execute("SELECT pg_advisory_unlock(%s)", [_PROOF_LOCK])
            said, _ = proof.communicate(timeout=120)
    assert proof.returncode == 0 and "Passed in" in said


def foreign_identity() -> tuple[str, str]:
    made = identity.make()
    return made.public_key, made.fingerprint


@contextmanager
def idle_relay(product: Product) -> Iterator[str]:
    """A second, real relay that nobody uses."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as place:
        relay = subprocess.Popen(
            [sys.executable, "manage.py", "relay", "--standalone"],
            cwd=ROOT,
            env=product.environment
            | {
                "PULSE_RELAY_ADDR": address,
                "PULSE_RELAY_DATA_DIR": place,
                "PULSE_RELAY_PUBLIC_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
                "DJANGO_SETTINGS_MODULE": "pulsecloud.settings_relay",
            },
        )
        try:
            until(lambda: answers(f"http://{address}/readyz"), 20)
            yield address
        finally:
            relay.kill()
            relay.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def replaced(path: Path, text: str) -> Iterator[None]:
    kept = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(kept)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
