"""The whole hosted path as an owner and a phone meet it: real web, relay, worker and runtime."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit.actors import Actor
from relay.models import Registration, RelayStatus
from relay.phone import Phone, PhoneError
from relay.registration import instance_id_for
from relay.server.models import Session
from tenants import lifecycle
from tenants.models import SuspendedBy
from tests import databases
from tests.product import ROOT, Member, Product
from tests.waiting import until

ACTOR = Actor.system("test")


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


class Pairing:
    """An organisation's owner, and what the pairing page showed."""

    def __init__(self, product: Product, name: str = "Example") -> None:
        self.member: Member = product.signed_up(name, enter=True)
        self.connected()
        minted = self.api("POST", "/api/security/tokens/relay-mobile", json={"name": "Phone"})
        self.token, self.token_id = minted.json()["token"], minted.json()["record"]["id"]
        self.link = self.api(
            "GET", "/api/onboarding/deep-link", headers={"X-API-Token": self.token}
        ).json()["url"]

    def api(self, method: str, path: str, **rest: Any) -> Any:
        return self.member.browser.request(method, path, host=self.member.host, **rest)

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = self.api("GET", "/api/settings/relay/status").json()
        return said

    def connected(self) -> dict[str, Any]:
        return until(lambda: said if (said := self.status()).get("connected") else None, 20) or {}

    def phone(self) -> Phone:
        return Phone.from_link(self.link)

    def suspend(self) -> None:
        lifecycle.suspend(
            organisation=self.member.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR
        )

    def unsuspend(self) -> None:
        lifecycle.unsuspend(
            organisation=self.member.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR
        )


@pytest.fixture(scope="module")
def shared() -> dict[str, Pairing]:
    return {}


@pytest.fixture
def paired(product: Product, shared: dict[str, Pairing]) -> Pairing:
    """One organisation for the tests that leave it as it was."""
    if "it" not in shared:
        shared["it"] = Pairing(product)
    return shared["it"]


def refusal(loop: asyncio.Runner, phone: Phone) -> PhoneError:
    with pytest.raises(PhoneError) as refused:
        loop.run(phone.open())
    return refused.value


@pytest.mark.covers("R31", "F77", "F78")
def test_fresh_organisation_is_reached_from_a_phone(paired: Pairing, loop: asyncio.Runner) -> None:
    """No settings call: signed up, connected with its lease, paired from the link alone."""
    said = paired.connected()
    wanted = instance_id_for(paired.member.organisation.instance_host)
    assert said["instance_id"] == wanted and said["credential"] == "lease"
    session = Session.objects.get(instance_id=wanted)
    assert (session.kind, session.organisation) == ("lease", paired.member.id)
    phone = paired.phone()
    assert phone.pairing.instance_id == wanted
    loop.run(phone.open())
    reply = loop.run(phone.request("GET", "/api/organisation"))
    assert reply.status == 200 and reply.json()["id"] == str(paired.member.id)
    assert "X-Request-Id" in reply.headers
    until(lambda: paired.status()["active_channels"] == 1, 5)
    loop.run(phone.close())
    until(lambda: paired.status()["active_channels"] == 0, 5)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/settings/relay/status", 200, ""),
        ("GET", "/api/onboarding/qr", 200, ""),
        ("GET", "/api/ai/patrol/findings", 404, "monitoring_not_attached"),
        ("GET", "/api/settings/relay", 403, "forbidden"),
        ("DELETE", "/api/security/tokens/00000000-0000-0000-0000-000000000000", 403, "forbidden"),
        ("GET", "/", 403, ""),
        ("GET", "/admin/", 404, ""),
        ("GET", "//localhost/", 400, ""),
        ("GET", "/metrics", 404, "Not Found"),  # for programs on this machine, not for phones
    ],
)
def test_phone_reaches_what_its_token_allows(
    paired: Pairing, loop: asyncio.Runner, method: str, path: str, status: int, code: str
) -> None:
    """The runtime adds no trust of its own: `web` decides, as for any other caller."""
    phone = paired.phone()
    loop.run(phone.open())
    reply = loop.run(phone.request(method, path, headers={"Cookie": "x", "X-Forwarded-For": "::1"}))
    loop.run(phone.close())
    assert reply.status == status, reply.body
    if code:
        assert code in reply.body.decode()


@pytest.mark.covers("F33")
def test_revoked_phone_is_shut_out_within_five_seconds(
    product: Product, loop: asyncio.Runner
) -> None:
    paired = Pairing(product)
    phone = paired.phone()
    loop.run(phone.open())
    revoked = time.monotonic()
    paired.api("DELETE", f"/api/security/tokens/{paired.token_id}")
    ended = loop.run(asyncio.wait_for(phone.wait_closed(), 5))
    assert time.monotonic() - revoked < 5
    assert not ended.pairing_is_over  # the socket just ends ...
    refused = refusal(loop, paired.phone())
    assert refused.code == "AUTH_FAILED" and refused.pairing_is_over  # ... and this is the verdict


@pytest.mark.covers("F33")
def test_suspension_closes_the_door_and_unpairs_nobody(
    product: Product, loop: asyncio.Runner
) -> None:
    paired = Pairing(product)
    phone = paired.phone()
    loop.run(phone.open())
    paired.suspend()
    ended = loop.run(asyncio.wait_for(phone.wait_closed(), 5))
    assert not ended.pairing_is_over
    refused = refusal(loop, paired.phone())
    assert refused.code == "INSTANCE_NOT_FOUND" and not refused.pairing_is_over

    def connected() -> bool:
        return RelayStatus.objects.get(organisation=paired.member.id).connected

    until(lambda: not connected(), 5)
    paired.unsuspend()
    until(connected, 5)
    loop.run(phone.open())  # the same pairing as before
    assert loop.run(phone.request("GET", "/api/organisation")).status == 200
    loop.run(phone.close())


def test_phone_stays_paired_while_tokens_cannot_be_checked(
    paired: Pairing, loop: asyncio.Runner
) -> None:
    """The token table cannot be read; the phone hears of a fault, not of a refused token."""
    with locked_tokens(paired):
        refused = refusal(loop, Phone.from_link(paired.link, timeout=15))
    assert refused.code == "INTERNAL_ERROR" and not refused.pairing_is_over
    phone = paired.phone()
    loop.run(phone.open())
    loop.run(phone.close())


@contextmanager
def locked_tokens(paired: Pairing) -> Iterator[None]:
    """Nobody reads the organisation's tokens meanwhile."""
    name = str(connection.settings_dict["NAME"])
    schema = paired.member.organisation.schema_name
    with psycopg.connect(databases.url(name)) as other:
        other.execute(f'LOCK TABLE "{schema}".rbac_apitoken IN ACCESS EXCLUSIVE MODE')
        yield
        other.rollback()


def test_web_that_is_away_is_a_bad_gateway_and_comes_back(
    product: Product, paired: Pairing, loop: asyncio.Runner
) -> None:
    phone = paired.phone()
    loop.run(phone.open())
    product.kill("web")
    seen = {loop.run(phone.request("GET", "/api/organisation")).status}
    until(lambda: loop.run(phone.request("GET", "/api/organisation")).status == 200, 30, every=0.3)
    assert seen <= {200, 502}
    loop.run(phone.close())


@pytest.mark.parametrize("victim", ["relay", "runtime"])
def test_killed_process_comes_back_and_phones_with_it(
    product: Product, paired: Pairing, loop: asyncio.Runner, victim: str
) -> None:
    """The same pairing, the same id, nobody does anything."""
    pid = product.kill(victim)
    until(lambda: product.pids().get(victim) not in (None, pid), 30)
    deadline = time.monotonic() + 40
    while True:
        phone = paired.phone()
        try:
            loop.run(phone.open())
            break
        except PhoneError as error:
            assert not error.pairing_is_over
            assert time.monotonic() < deadline, error
            time.sleep(0.2)
    assert loop.run(phone.request("GET", "/api/organisation")).status == 200
    loop.run(phone.close())
    paired.connected()


def test_many_organisations_at_once(product: Product, loop: asyncio.Runner) -> None:
    """Each phone gets its own organisation's answer."""
    pairs = [Pairing(product, f"Firm {n}") for n in range(4)]

    async def ask(paired: Pairing) -> tuple[str, str]:
        async with paired.phone() as phone:
            reply = await phone.request("GET", "/api/organisation")
            return str(paired.member.id), str(reply.json()["id"])

    async def ask_all() -> list[tuple[str, str]]:
        return await asyncio.gather(*(ask(paired) for paired in pairs for _ in range(4)))

    assert all(mine == got for mine, got in loop.run(ask_all()))


@pytest.mark.covers("F48")
def test_no_log_holds_a_token_or_a_lease(product: Product, paired: Pairing) -> None:
    for name in ("web", "relay", "runtime", "worker"):
        text = product.log(name)
        assert text and paired.token not in text
        assert "eyJ" not in text  # how every token of the JWT family begins


def test_second_runtime_stands_by_and_ends_when_asked(product: Product) -> None:
    environment = {**product.environment, "PULSECLOUD_DATA_DIR": str(product.data_dir / "second")}
    second = subprocess.Popen(
        [sys.executable, "manage.py", "runtime"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    ready = product.data_dir / "second" / "run" / "runtime.json"
    until(lambda: ready.exists() and json.loads(ready.read_text())["serving"] == 0, 20)
    asked = time.monotonic()
    second.terminate()
    _, log = second.communicate(timeout=10)
    assert second.returncode == 0 and time.monotonic() - asked < 5
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "runtime started" and events[-1] == "runtime stopped"
    assert "another runtime serves; standing by" in events and "connected" not in events
    assert not ready.exists()


def test_ready_file_names_the_process(product: Product, paired: Pairing) -> None:
    said = json.loads((product.data_dir / "run" / "runtime.json").read_text())
    assert said["pid"] == product.pids()["runtime"]
    assert said["serving"] >= 1
    assert Registration.objects.filter(organisation=paired.member.id).exists()
