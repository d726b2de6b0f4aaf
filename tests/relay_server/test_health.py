"""What operators see: /healthz, /readyz, /metrics, and starting on an empty directory."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

import httpx
import pytest

from relay.wire.frames import ChannelClose, Connect, Error, FrameType, Register
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.channels import accept, connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.raw_http import RawHttp
from tests.relay_server.signing import LEASE_KEY, LICENCE_KEY, lease, licence
from tests.waiting import until, until_async


@pytest.mark.covers("R11", "F73")
def test_healthz_is_exactly_what_upstream_looks_for(relay: Relay) -> None:
    for host in ("relay.example.test", "10.0.0.1", "nonsense"):  # on any host (F73)
        answer = relay.get("/healthz", Host=host)
        assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')
        assert answer.headers["content-type"] == "application/json"
        assert relay.get("/readyz", Host=host).status_code == 200
    url = f"http://127.0.0.1:{relay.port}/healthz"
    assert httpx.head(url).status_code == 200
    assert httpx.post(url).status_code == 405


@pytest.mark.covers("R12")
def test_healthy_soon_after_a_cold_start_on_an_empty_directory(new_relay: NewRelay) -> None:
    relay = new_relay(start=False)
    assert not relay.data_dir.exists()
    began = time.monotonic()
    relay.start()
    took = time.monotonic() - began
    assert took < 10, "10 s is the contract; the relay's own aim is 5 s"
    if os.getloadavg()[0] < 2 * (os.cpu_count() or 1):
        assert took < 5
    assert relay.get("/readyz").json() == {"status": "ready", "blocking": []}
    assert (relay.data_dir.stat().st_mode & 0o077) == 0
    for path in relay.data_dir.iterdir():
        assert (path.stat().st_mode & 0o077) == 0, path


@pytest.mark.covers("R83", "R84")
async def test_the_gauges_are_there_and_true(new_relay: NewRelay) -> None:
    relay = new_relay()
    text = relay.get("/metrics").text
    assert "\npulse_relay_instance_connections 0\n" in "\n" + text
    assert "\npulse_relay_app_sessions 0\n" in text
    home, instance_id = await instance(relay)
    assert relay.gauges() == (1, 0)
    apps = [await connected(relay, home, instance_id) for _ in range(4)]
    assert relay.gauges() == (1, 4)
    waiting = await RawSocket.open(relay.apps)
    await waiting.send(Connect(instance_id, "token"))
    await home.expect_type(FrameType.CHANNEL_OPEN)
    assert relay.gauges() == (1, 4)  # only what the instance accepted is a session
    waiting.vanish()
    await home.send(ChannelClose(apps[0][1]))
    apps[1][0].vanish()
    await apps[2][0].socket.close()
    await until_async(lambda: relay.gauges() == (1, 1))
    home.vanish()
    await until_async(lambda: relay.gauges() == (0, 0))
    for app, _ in apps:
        app.vanish()


@pytest.mark.covers("R85", "F72")
async def test_labels_never_name_anybody(new_relay: NewRelay) -> None:
    relay = new_relay()
    home, instance_id = await instance(relay)
    for said in ("ios", "android", "iOS", 'x"} 1\nevil 1', instance_id, "", "a" * 5000):
        app = await RawSocket.open(relay.apps)
        opened = asyncio.create_task(accept(home))
        await app.send(Connect(instance_id, "token", device_token="device-1", platform=said))
        await app.expect_type(FrameType.CONNECT_ACK)
        await opened
        app.vanish()
        await home.expect(ChannelClose)
    async with await RawSocket.open(relay.instances) as refused:
        await refused.send(Register("nonsense"))
        await refused.expect(Error)
    text = relay.get("/metrics").text
    labels = set(re.findall(r'(\w+)="([^"]*)"', text))
    assert {v for k, v in labels if k == "platform"} == {"ios", "android", "unknown"}
    assert {k for k, _ in labels} == {"platform", "outcome"}
    assert {v for k, v in labels if k == "outcome"} <= {"accepted", "fresh", "LICENSE_INVALID"}
    for secret in (instance_id, "device-1", "evil", "127.0.0.1"):
        assert secret not in text
    metrics = relay.metrics()
    assert metrics['pulse_relay_app_connects_total{platform="unknown",outcome="accepted"}'] == 5
    assert metrics['pulse_relay_registrations_total{outcome="LICENSE_INVALID"}'] == 1
    home.vanish()


@pytest.mark.covers("F72")
def test_the_metrics_can_be_read_by_prometheus(relay: Relay) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = relay.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    assert families["pulse_relay_instance_connections"].type == "gauge"
    assert families["pulse_relay_slow_apps"].type == "counter"
    assert len(families) > 12


@pytest.mark.covers("F73")
def test_metrics_are_for_loopback_or_the_token(new_relay: NewRelay) -> None:
    relay = new_relay(METRICS_TOKEN="secret token")
    assert relay.get("/metrics").status_code == 200
    assert relay.get("/metrics", **{"X-Forwarded-For": "203.0.113.7"}).status_code == 404
    assert relay.get("/metrics", Forwarded="for=203.0.113.7").status_code == 404
    right = {"X-Forwarded-For": "203.0.113.7", "Authorization": "Bearer secret token"}
    assert relay.get("/metrics", **right).status_code == 200
    wrong = {**right, "Authorization": "Bearer secret"}
    assert relay.get("/metrics", **wrong).status_code == 404


@pytest.mark.covers("F73")
def test_metrics_are_not_for_the_network(new_relay: NewRelay) -> None:
    import socket

    relay = new_relay(start=False)
    relay.environment["PULSE_RELAY_ADDR"] = f"0.0.0.0:{relay.port}"
    relay.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("not run here: this machine has no address but loopback")
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("not run here: this machine has no address but loopback")
    base = f"http://{own}:{relay.port}"
    assert httpx.get(f"{base}/healthz").status_code == 200
    assert httpx.get(f"{base}/metrics").status_code == 404


@pytest.mark.covers("F79")
def test_not_ready_without_keys_for_leases_in_the_full_product(
    new_full_relay: NewRelay, tmp_path: Path
) -> None:
    """A hosted relay that would refuse every lease says so; licences go on."""
    keys = tmp_path / "entitlement.pub"
    relay = new_full_relay(
        PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY="", PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE=str(keys)
    )
    answer = relay.get("/readyz")
    assert answer.status_code == 503
    assert [b["fact"] for b in answer.json()["blocking"]] == ["entitlement_key_missing"]
    assert relay.get("/healthz").status_code == 200
    keys.write_text(f"# current\n{LEASE_KEY}\n")
    until(lambda: relay.get("/readyz").status_code == 200)


async def test_the_key_file_is_read_again_when_it_changes(
    new_relay: NewRelay, tmp_path: Path
) -> None:
    keys = tmp_path / "entitlement.pub"
    keys.write_text(f"{LICENCE_KEY}\n")
    relay = new_relay(
        PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY="",
        PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE=str(keys),
        PULSE_RELAY_FIRST_FRAME_TIMEOUT="5s",
    )

    async def accepted() -> bool:
        async with await RawSocket.open(relay.instances) as socket:
            await socket.send(Register(lease()))
            return (await socket.frame()).type is FrameType.REGISTER_ACK

    assert not await accepted()
    draft = tmp_path / "draft"
    draft.write_text(f"{LICENCE_KEY}, {LEASE_KEY}")  # both during a rotation
    draft.rename(keys)
    await until_async(accepted)
    keys.write_text("half a k")  # a mistake locks nobody out …
    await until_async(lambda: relay.get("/readyz").status_code == 503)
    assert await accepted()
    keys.unlink()  # … but taking the file away does

    async def refused() -> bool:
        return not await accepted()

    await until_async(refused)
    live, _ = await raw_instance(relay.instances, Register(licence()))
    await live.socket.close()


async def test_half_a_request_gets_no_answer_from_a_page(relay: Relay) -> None:
    async with await RawHttp.open(relay) as http:
        http.send(
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        answer = await http.until_end()
    assert answer.count(b"HTTP/1.1 200") == 1  # one request a connection
