"""The runtime at a real relay process, with the reference phone; `web` is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing import keys
from relay.models import RelayStatus
from relay.phone import Phone, PhoneError
from relay.wire import proxy
from relay.wire.frames import FrameType
from relay.wire.pairing import Pairing
from tests import databases
from tests.relay_server.process import Relay
from tests.runtime.conftest import ACTOR, Tenant
from tests.runtime.scripted_web import STREAM, Asked, ScriptedWeb, answer, scripted_web
from tests.runtime.stage import eventually, ids, running


def make_relay(folder: Path, database_name: str) -> Relay:
    """The full product's relay on this run's database; it knows the key of our leases."""
    environment = {
        name: databases.environment(database_name)[name]
        for name in ("DATABASE_URL", "PULSECLOUD_DATA_DIR", "PULSE_HOSTED_MODE")
    }
    environment["PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"] = keys.ensure(actor=ACTOR).public_key
    return Relay(folder, environment, standalone=False)


@pytest.fixture(scope="module")
def shared_relay(
    tmp_path_factory: pytest.TempPathFactory, database_name: str, live_db_session: None
) -> Iterator[Relay]:
    relay = make_relay(tmp_path_factory.mktemp("relay"), database_name).start()
    yield relay
    relay.end()


@pytest.fixture
def relay(
    tmp_path_factory: pytest.TempPathFactory, live_db: None, database_name: str
) -> Iterator[Relay]:
    """One of the test's own, not started."""
    relay = make_relay(tmp_path_factory.mktemp("relay"), database_name)
    yield relay
    relay.end()


@dataclass
class Live:
    relay: Relay
    web: ScriptedWeb
    tenant: Tenant

    def phone(self, token: str = "") -> Phone:
        return Phone(
            Pairing(
                self.tenant.instance_id,
                self.relay.apps,
                token or self.tenant.token,
                self.tenant.registration.identity_public_key,
                self.tenant.registration.identity_fingerprint,
            )
        )

    async def connected(self, wanted: bool = True, seconds: float = 10) -> RelayStatus:
        def read() -> RelayStatus | None:
            row = RelayStatus.objects.get(organisation=self.tenant.organisation)
            return row if row.connected is wanted else None

        row = await eventually(read, seconds)
        assert row is not None
        return row


async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
    if asked.target == "/events":
        writer.write(STREAM + b"data: 1\n\n: ping\n\ndata: 2\n\n")
    elif asked.target == "/hold":
        await asyncio.sleep(30)
    else:
        writer.write(answer(asked.target.encode(), kind="text/plain"))


@asynccontextmanager
async def alive(quick: Any, tenant: Tenant, relay: Relay) -> AsyncIterator[Live]:
    async with (
        scripted_web(serve) as web,
        running(
            quick,
            only=ids(tenant.organisation),
            RELAY_SERVER=relay.instances,
            WEB_ADDR=web.address,
            RUNTIME_ANSWER_TIMEOUT=5.0,
        ),
    ):
        yield Live(relay, web, tenant)


@pytest.fixture
async def live(quick: Any, tenant: Tenant, shared_relay: Relay) -> AsyncIterator[Live]:
    async with alive(quick, tenant, shared_relay) as live:
        await live.connected()
        yield live


@pytest.mark.covers("R59")
async def test_event_stream_reaches_the_phone_in_order(live: Live) -> None:
    async with live.phone() as phone:
        frames = [frame async for frame in phone.responses("GET", "/events")]
    assert [f.body for f in frames[1:-1]] == [b"data: 1", b": ping", b"data: 2"]
    assert frames[0].stream and frames[0].headers["Content-Type"] == "text/event-stream"
    assert frames[-1].stream_done and not frames[-1].stream


@pytest.mark.covers("R58")
async def test_429_and_503_reach_the_phone_as_answers(live: Live) -> None:
    async with live.phone() as phone, live.phone() as other:
        for n in range(65):
            await _send(phone, "/hold", f"h{n}")
        late = await _reply(phone)
        assert (late.status, late.id) == (503, "h64")
        for n in range(236):
            await _send(phone, "/hold", f"m{n}")
        assert {(await _reply(phone)).status for _ in range(235)} == {503}
        assert (await _reply(phone)).status == 429
        refused = await other.request("GET", "/x")  # 64 are in flight on this connection
        assert refused.status == 503
    assert len(live.web.asked) <= 64


async def _send(phone: Phone, path: str, request_id: str) -> None:
    """A request whose answer is not awaited; the reference phone asks one at a time."""
    request = proxy.encode_request(proxy.Request(request_id, "GET", path))
    sealed = phone._connected().seal(request)
    from relay.wire.frames import encode

    await phone._send(encode(FrameType.DATA, phone.channel, sealed))


async def _reply(phone: Phone) -> proxy.Response:
    return await phone._response()


@pytest.mark.covers("R49")
async def test_many_answers_leave_in_the_order_of_their_counters(live: Live) -> None:
    """Upstream's instance now and then loses one to its own race; the phone here is strict."""
    async with live.phone() as phone:
        for batch in range(6):
            for n in range(40):
                await _send(phone, f"/{batch}/{n}", f"r{batch}.{n}")
            got = {(await _reply(phone)).id for _ in range(40)}
            assert got == {f"r{batch}.{n}" for n in range(40)}


async def test_phone_is_refused_for_a_wrong_token_only(live: Live) -> None:
    with pytest.raises(PhoneError) as refused:
        await live.phone("0" * 64).open()
    assert refused.value.code == "AUTH_FAILED" and refused.value.pairing_is_over


@pytest.mark.covers("R65")
async def test_relay_drained_killed_and_back_is_found_again_and_not_stormed(
    quick: Any, tenant: Tenant, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    def registered() -> int:
        return sum("'event': 'connected'" in record.getMessage() for record in caplog.records)

    relay.start()
    async with alive(quick, tenant, relay) as live:
        await live.connected()
        status, _ = await asyncio.to_thread(relay.stop)
        assert status == 0
        assert registered() < 3
        row = await live.connected(False)
        assert row.last_error and row.connected_at is not None
        relay.launch()
        await live.connected(seconds=30)
        relay.kill()
        await live.connected(False)
        relay.launch()
        await live.connected(seconds=30)
        assert registered() >= 3
        async with live.phone() as phone:
            assert (await phone.request("GET", "/again")).body == b"/again"


@pytest.mark.covers("F79")
async def test_relay_without_the_entitlement_key_refuses_and_status_says_so(
    quick: Any, tenant: Tenant, relay: Relay
) -> None:
    """The old incident: organisations were billed and healthy, and no phone could reach them."""
    ours = relay.environment["PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"]
    relay.environment["PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"] = ""
    relay.environment["PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE"] = "/does/not/exist"
    relay.start()
    async with alive(quick, tenant, relay) as live:

        def refused() -> bool:
            row = RelayStatus.objects.get(organisation=tenant.organisation)
            return row.last_error.startswith("LICENSE_INVALID")

        await eventually(refused, 10)
        with pytest.raises(PhoneError) as away:
            await live.phone().open()
        assert away.value.code == "INSTANCE_NOT_FOUND"
        relay.kill()
        relay.environment["PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"] = ours
        await asyncio.to_thread(relay.start)
        await live.connected()
        async with live.phone() as phone:
            assert (await phone.request("GET", "/x")).status == 200


@pytest.mark.covers("F48")
async def test_relay_and_phone_errors_hold_no_token(live: Live) -> None:
    async with live.phone() as phone:
        await phone.request("GET", "/x")
    with pytest.raises(PhoneError) as refused:
        await live.phone("f" * 64).open()
    assert "f" * 64 not in str(refused.value)
    assert live.tenant.token not in live.relay.log() and "f" * 64 not in live.relay.log()
