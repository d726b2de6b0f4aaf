"""What upstream's runtime test demands of a relay (relay-protocol section 21), phase by phase, with
the reference instance. The test itself needs the upstream client (R67) and is not run here."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from relay.wire import proxy
from relay.wire.frames import Connect, ConnectAck, FrameType, parse
from tests.raw_socket import RawSocket
from tests.reference_channels import Answer
from tests.reference_instance import ReferenceInstance, Timing
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, licence
from tests.waiting import until_async


async def ask(relay: Relay, instance_id: str, path: str = "/api/health") -> proxy.Response:
    """A plaintext GET over a fresh app connection; CONNECT_ACK must come first, then DATA."""
    async with await RawSocket.open(relay.apps) as app:
        await app.send(Connect(instance_id, "token"))
        ack = parse(ConnectAck, (await app.expect_type(FrameType.CONNECT_ACK)).payload)
        request = proxy.encode_request(proxy.Request("1", "GET", path))
        await app.send_frame(FrameType.DATA, ack.channel_id, request)
        return proxy.decode_response((await app.expect_type(FrameType.DATA)).payload)


@pytest.mark.covers("R12", "R14", "R17", "R25", "R51", "R63", "R66")
async def test_the_four_phases(new_relay: NewRelay) -> None:
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def handler(request: proxy.Request, token: str) -> Answer:
        if request.path == "/slow":
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
        return Answer(body=b'{"status":"healthy"}')

    relay = await asyncio.to_thread(new_relay)  # 1: healthy on an empty directory
    lid = fresh("lic")
    async with ReferenceInstance(
        relay.instances,
        license_token=lambda: licence(lid=lid),
        identity_pub_key="not base64",
        instance_hint="secret",
        valid_tokens={"token"},
        handler=handler,
        timing=Timing(backoff=0.5),
    ) as home:
        identity = await home.registered(10)
        assert identity.startswith("relay_")
        assert (await ask(relay, identity)).status == 200

        relay.kill()  # 2: the same data
        await asyncio.to_thread(relay.start)
        await until_async(lambda: home.registrations == 2, 20)
        assert home.errors == []
        assert (await ask(relay, identity)).status == 200

        relay.kill()  # 3: no data
        for path in relay.data_dir.iterdir():
            path.unlink()
        await asyncio.to_thread(relay.start)
        await until_async(lambda: home.registrations == 3, 20)
        assert [error.code for error in home.errors] == ["INSTANCE_NOT_FOUND"]
        assert home.instance_id == identity
        assert (await ask(relay, identity)).status == 200

        slow = asyncio.create_task(ask(relay, identity, "/slow"))  # 4: drained with work in flight
        async with asyncio.timeout(5):
            await begun.wait()
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(relay.stop, signal.SIGINT))
        async with asyncio.timeout(5):
            await cancelled.wait()
        assert (await stopping)[0] == 0
        assert time.monotonic() - began < 5
        assert len(home.seen(FrameType.DRAIN)) == 1
        with pytest.raises(AssertionError, match="DRAIN"):  # the app saw it instead of an answer
            await slow
        await asyncio.to_thread(relay.start)
        await until_async(lambda: home.registrations == 4, 20)
        assert (await ask(relay, identity)).status == 200
        app = await RawSocket.open(relay.apps)
        await app.send(Connect(identity, "token"))
        await app.expect_type(FrameType.CONNECT_ACK)
        assert len(home.channels) == 1
        app.vanish()
        await until_async(lambda: not home.channels, 5, promised=True)
