"""Handshakes and WebSocket framing, also hostile ones (relay-protocol section 1, RFC 6455)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import pytest
from websockets.asyncio.client import connect

from relay.wire.frames import ChannelClose, Error, ErrorCode, FrameType, encode
from tests.raw_socket import RawSocket
from tests.relay_server.channels import connected, instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.raw_http import RawHttp, handshake, masked, status
from tests.vectors import group, named
from tests.waiting import until_async

PATHS = ("/ws/instance", "/ws/app")


@pytest.mark.covers("R08", "R09", "F29")
@pytest.mark.parametrize("path", PATHS)
async def test_a_plain_handshake_is_accepted_and_no_extension_ever(relay: Relay, path: str) -> None:
    for extra in (
        b"",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        b"Sec-WebSocket-Protocol: chat, superchat\r\n",
    ):
        async with await RawHttp.open(relay) as http:
            http.send(handshake(path, extra=extra))
            head = (await http.head()).lower()
            assert head.startswith("http/1.1 101 ")
            assert "sec-websocket-extensions" not in head
            assert "sec-websocket-protocol" not in head


@pytest.mark.covers("R10")
async def test_other_paths_and_plain_requests(relay: Relay) -> None:
    for path in PATHS:
        refused = relay.get(path)
        assert (refused.status_code, refused.headers["upgrade"]) == (426, "websocket")
    for path in ("/", "/ws", "/ws/", "/ws/app/x", "/ws/instance/", "/admin/", "/livez", "/%00"):
        assert relay.get(path).status_code == 404
        assert await status(relay, handshake(path)) == 404


@pytest.mark.covers("R08", "F34")
async def test_a_foreign_web_page_may_not_connect(new_relay: NewRelay) -> None:
    relay = new_relay(
        PULSE_RELAY_APP_ORIGINS="https://app.example.test",
        PULSE_RELAY_PUBLIC_URL="wss://relay.example.test",
    )
    for origin, expected in (
        ("https://evil.example", 403),
        ("null", 403),
        ("https://app.example.test.evil.example", 403),
        ("http://app.example.test", 403),
        ("https://[", 403),
        ("https://app.example.test", 101),
        ("http://relay", 101),  # the relay's own, as some web views send it: the Host header says
        ("https://relay.example.test", 101),
    ):
        for path in PATHS:
            request = handshake(path, extra=b"Origin: %s\r\n" % origin.encode())
            assert await status(relay, request) == expected, origin


@pytest.mark.covers("F28")
@pytest.mark.parametrize(
    "hidden", [b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85", b"\x00", b"\xc2\x85", b"\x7f"]
)
async def test_a_header_cannot_hide_a_line_end(relay: Relay, hidden: bytes) -> None:
    smuggled = b"X-Note: a" + hidden + b"X-Forwarded-For: 10.0.0.1\r\n"
    assert await status(relay, handshake(extra=smuggled)) == 400
    assert relay.healthy()


async def test_a_name_in_a_header_is_no_attack(relay: Relay) -> None:
    city = "CF-IPCity: Ålesund\r\n".encode()  # a proxy's: C3 85 in UTF-8
    assert await status(relay, handshake(extra=city)) == 101


@pytest.mark.covers("F35")
@pytest.mark.parametrize(
    "request_",
    [
        handshake(version=b"12"),
        handshake().replace(b"Sec-WebSocket-Key: ", b"X-Key: "),
        handshake().replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: short"),
        b"GET /ws/app HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /ws/app HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS to a plain port
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        handshake(extra=b"".join(b"X-%d: y\r\n" % n for n in range(300))),
        handshake(extra=b"X-Long: " + b"y" * 20_000 + b"\r\n"),
        handshake(extra=b"X-Long: " + b"y" * 9000 + b"\r\n"),
    ],
)
async def test_a_broken_handshake_is_answered_and_ended(relay: Relay, request_: bytes) -> None:
    async with await RawHttp.open(relay) as http:
        http.send(request_)
        answer = await http.until_end()
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 426", b"HTTP/1.1 431")


@pytest.mark.covers("F36")
async def test_a_handshake_that_never_ends_is_cut(new_relay: NewRelay) -> None:
    """The deadline is for the whole request: a byte now and then does not extend it."""
    relay = new_relay(PULSE_RELAY_FIRST_FRAME_TIMEOUT="1s", PULSE_RELAY_DATABASE_TIMEOUT="500ms")

    async def drip(first: bytes) -> float:
        began = time.monotonic()
        async with await RawHttp.open(relay) as http:
            http.send(first)
            ended = asyncio.create_task(http.until_end(10))
            while not ended.done():
                await asyncio.sleep(0.1)
                http.send(b"a")
            await ended
        return time.monotonic() - began

    half = b"POST / HTTP/1.1\r\nContent-Length: 99\r\n"
    for took in await asyncio.gather(
        *(drip(first) for first in (b"", b"GET /ws/app HT", handshake()[:-2], half))
    ):
        assert 1.0 < took < 5


@pytest.mark.covers("F36", "R27")
async def test_an_open_socket_that_says_nothing_is_closed(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_FIRST_FRAME_TIMEOUT="1s")

    async def wait(path: str) -> bytes:
        async with await RawHttp.open(relay) as http:
            http.send(handshake(path))
            assert " 101 " in await http.head()
            http.send(masked(2, b"half", fin=False))
            return await http.until_end(9)

    assert await asyncio.gather(*map(wait, PATHS)) == [b"\x88\x02\x03\xe8"] * 2  # close 1000
    assert relay.gauges() == (0, 0)


@pytest.mark.covers("R04", "F35")
async def test_text_messages_end_their_sender_only(relay: Relay) -> None:
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    for path in (relay.instances, relay.apps):
        async with await RawSocket.open(path) as newcomer:
            await newcomer.send("text")
            assert (await newcomer.expect(Error)).code == ErrorCode.AUTH_FAILED
            assert await newcomer.closed() == 1008
    await app.send("text")
    assert await app.closed() == 1003
    assert (await home.expect(ChannelClose)).channel_id == channel
    app, channel = await connected(relay, home, instance_id)
    await home.send("text")
    assert await home.closed() == 1003
    assert (await app.expect(ChannelClose)).channel_id == channel
    await app.socket.close()


@pytest.mark.covers("R02", "F44", "F45")
@pytest.mark.parametrize(
    "vector", [v for v in group("frame_errors") if v.get("wire_hex")], ids=named
)
async def test_after_registration_a_broken_frame_ends_an_app_but_no_instance(
    relay: Relay, vector: dict[str, str]
) -> None:
    broken = bytes.fromhex(vector["wire_hex"])
    home, instance_id = await instance(relay)
    app, channel = await connected(relay, home, instance_id)
    if len(broken) > 65542:
        for peer in (app, home):
            await peer.send(broken)
            assert await peer.closed() == 1009
        return
    await home.send(broken)
    await home.send_frame(FrameType.DATA, channel, b"still here")
    assert (await app.expect_type(FrameType.DATA)).payload == b"still here"
    await app.send(broken)
    assert await app.closed() == 1002
    assert (await home.expect(ChannelClose)).channel_id == channel
    await home.socket.close()


@pytest.mark.covers("F35")
@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (masked(2, b"x", mask=False), 1002),
        (bytes([0xC2]) + masked(2, b"x")[1:], 1002),  # a reserved bit
        (masked(3, b"x"), 1002),  # an unknown opcode
        (masked(0, b"x"), 1002),  # a continuation of nothing
        (masked(9, b"x" * 126), 1002),  # a control frame too long
        (masked(9, b"x", fin=False), 1002),  # a control frame in parts
        (masked(8, b"x"), 1002),  # a close frame with half a code
        (masked(2, b"a", fin=False) + masked(2, b"b"), 1002),  # a message within a message
        (masked(2, b"", fin=False) + masked(0, b"", fin=False) * 5000, 1009),  # F27: endless parts
    ],
)
async def test_broken_websocket_frames(relay: Relay, bytes_: bytes, code: int) -> None:
    async with await RawHttp.open(relay) as http:
        http.send(handshake())
        assert " 101 " in await http.head()
        http.send(bytes_)
        answer = await http.until_end()
    assert answer[0] == 0x88
    assert int.from_bytes(answer[2:4]) == code


@pytest.mark.covers("R04")
async def test_text_that_is_no_utf_8_is_refused_as_text(relay: Relay) -> None:
    async with await RawHttp.open(relay) as http:
        http.send(handshake())
        await http.head()
        http.send(masked(1, b"\xff\xfe"))
        answer = await http.until_end()
        assert b"AUTH_FAILED" in answer


@pytest.mark.covers("F11", "F27")
async def test_pings_that_nobody_reads_the_answers_of_fill_no_memory(new_relay: NewRelay) -> None:
    relay = new_relay(PULSE_RELAY_FIRST_FRAME_TIMEOUT="20s")
    before = relay.memory()
    async with await RawHttp.open(relay) as http:
        http.send(handshake())
        await http.head()
        http.reader._transport.pause_reading()  # type: ignore[attr-defined]
        ping = masked(9, os.urandom(125)) * 1000
        async with asyncio.timeout(10):
            for _ in range(120):  # 16 MB, more than the kernel holds for both of them
                http.send(ping)
                await http.writer.drain()
        assert relay.memory() - before < 4 * 1024 * 1024
        http.writer.transport.abort()


@pytest.mark.covers("F27")
async def test_a_body_is_not_read(relay: Relay) -> None:
    before = relay.memory()
    async with await RawHttp.open(relay) as http:
        http.send(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(3000):
                http.send(bytes(65536))
                await http.writer.drain()
                await asyncio.sleep(0)
    assert relay.memory() - before < 4 * 1024 * 1024


async def test_a_peer_that_closes_and_does_not_read_is_forgotten(new_relay: NewRelay) -> None:
    """asyncio would wait for ever to send what is buffered for it."""
    relay = new_relay()
    home, instance_id = await instance(relay)

    def sockets() -> int:
        folder = f"/proc/{relay.pid}/fd"
        targets = []
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(f"{folder}/{name}"))
        return sum(target.startswith("socket:") for target in targets)

    before = sockets()
    app, channel = await connected(relay, home, instance_id)
    app.stop_reading()
    for _ in range(100):  # more than the kernel takes
        await home.send_frame(FrameType.DATA, channel, bytes(60_000))
    assert sockets() == before + 1
    app.socket.transport.write(masked(8, b"\x03\xe8"))
    assert (await home.expect(ChannelClose)).channel_id == channel
    await until_async(lambda: sockets() == before, 8, promised=True)
    for peer in (app, home):
        peer.vanish()


async def test_the_relay_speaks_binary_only(relay: Relay) -> None:
    async with connect(relay.apps, compression=None) as socket:
        await socket.send(encode(FrameType.PING, 0))
        assert isinstance(await socket.recv(), bytes)
