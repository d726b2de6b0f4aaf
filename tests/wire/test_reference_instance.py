"""The reference instance reacts as relay-protocol sections 6.3 and 9 to 12 say of the published
client; what other tests conclude from it rests on this."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from relay.wire import frames, identity, proxy
from relay.wire.frames import ChannelClose, ChannelOpen, Drain, Error, ErrorCode, FrameType
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel
from tests.raw_socket import RawSocket
from tests.reference_channels import Answer, Stream
from tests.reference_instance import QUICK, ReferenceInstance, Timing
from tests.scripted_relay import acknowledge, scripted_relay
from tests.waiting import until_async

make_instance = partial(ReferenceInstance, license_token="licence")


async def held(peer: RawSocket) -> None:
    """Keeps a connection until the other side ends it."""
    await peer.closed(seconds=30)


async def test_registers_fresh_and_resumes_after_a_cut() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await held(peer)

    async with scripted_relay(script) as url, make_instance(url) as instance:
        assert await instance.registered() == "relay_0123456789abcdef"
        instance.cut()
        await until_async(lambda: instance.registrations == 2)
    fresh, resume = instance.registers
    assert (fresh.session_token, fresh.instance_hint) == ("", "")
    assert (resume.session_token, resume.instance_hint) == ("session", "relay_0123456789abcdef")
    assert 0.9 * QUICK.backoff <= instance.pauses[0] <= 1.1 * QUICK.backoff


@pytest.mark.parametrize("code", [ErrorCode.AUTH_FAILED, ErrorCode.INSTANCE_NOT_FOUND])
async def test_a_refused_resume_is_followed_by_a_fresh_registration_at_once(code: str) -> None:
    async def script(peer: RawSocket) -> None:
        if (await peer.expect(frames.Register)).session_token:
            return await peer.send(Error(code, ""))
        await peer.send(frames.RegisterAck("relay_a", "s", 0))
        await held(peer)

    async with scripted_relay(script) as url, make_instance(url) as instance:
        await instance.registered()
        instance.cut()
        await until_async(lambda: instance.registrations == 2)
    assert [bool(r.session_token) for r in instance.registers] == [False, True, False]
    assert instance.pauses[1] == 0


async def test_other_refusals_keep_the_session_and_back_off() -> None:
    async def script(peer: RawSocket) -> None:
        register = await peer.expect(frames.Register)
        if len(instance.registers) > 1:
            assert register.session_token == "s"
            return await peer.send(Error(ErrorCode.LICENSE_EXPIRED, ""))
        await peer.send(frames.RegisterAck("relay_a", "s", 0))

    async with scripted_relay(script) as url, make_instance(url) as instance:
        await until_async(lambda: len(instance.registers) == 4)
    steps = [pause / QUICK.backoff for pause in instance.pauses[:3]]
    assert all(0.9 * n <= s <= 1.1 * n for n, s in zip((1, 2, 4), steps, strict=True)), steps


async def test_fresh_refusals_back_off_up_to_sixty_steps() -> None:
    async def script(peer: RawSocket) -> None:
        await peer.expect(frames.Register)
        await peer.send(Error(ErrorCode.LICENSE_INVALID, ""))

    timing = replace(QUICK, backoff=0.001)
    async with (
        scripted_relay(script) as url,
        make_instance(url, timing=timing) as instance,
    ):
        await until_async(lambda: len(instance.pauses) >= 9)
    steps = [pause / timing.backoff for pause in instance.pauses[:9]]
    for expected, step in zip((1, 2, 4, 8, 16, 32, 60, 60, 60), steps, strict=True):
        assert 0.9 * expected <= step <= 1.1 * expected, steps


async def test_a_licence_error_after_the_acknowledgement_pauses_and_then_resumes() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        if instance.registrations == 0:
            await peer.send(Error(ErrorCode.LICENSE_INVALID, "revoked"))
        await held(peer)

    timing = replace(QUICK, licence_pause=0.3)
    async with (
        scripted_relay(script) as url,
        make_instance(url, timing=timing) as instance,
    ):
        await until_async(lambda: instance.registrations == 2)
    assert instance.pauses == [0.3]
    assert instance.registers[1].session_token == "session"


async def test_other_errors_and_undecodable_messages_leave_it_connected() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await peer.send(Error(ErrorCode.DUPLICATE_INSTANCE, ""))
        for noise in (b"", b"\x01\x08", b"\x02\x08\0\0\0\0", b"\x01\x0e\0\0\0\0", "text"):
            await peer.send(noise)
        for ignored in (FrameType.PONG, FrameType.REGISTER, FrameType.CONNECT_ACK):
            await peer.send_frame(ignored, 3, b"{}")
        await peer.send_frame(FrameType.PING, 9, b"payload")
        assert await peer.frame() == (FrameType.PONG, 0, b"")
        await held(peer)

    async with scripted_relay(script) as url, make_instance(url) as instance:
        await until_async(lambda: instance.seen(FrameType.PING))
        await asyncio.sleep(0.1)
        assert instance.is_registered and instance.connections == 1


async def test_a_drain_is_left_at_once_and_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def stuck(request: proxy.Request, token: str) -> Answer:
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        if instance.connections == 1:
            await opened(peer)
            await peer.send_frame(FrameType.DATA, 7, request("r"))
            await until_async(lambda: instance.requests_in_flight == 1)
            await peer.send(Drain("bye", "ws://127.0.0.1:1/never"))
        await held(peer)

    async with (
        scripted_relay(script) as url,
        make_instance(url, handler=stuck, valid_tokens={"tok"}) as instance,
    ):
        await until_async(lambda: instance.registrations == 2)
        await asyncio.wait_for(cancelled.wait(), 5)
    assert instance.pauses == [0]


async def test_any_other_first_frame_fails_the_attempt() -> None:
    async def script(peer: RawSocket) -> None:
        await peer.expect(frames.Register)
        await peer.send(frames.PING)
        await held(peer)

    async with scripted_relay(script) as url, make_instance(url) as instance:
        await until_async(lambda: instance.connections == 2)
    assert instance.registrations == 0


async def opened(peer: RawSocket, channel: int = 7) -> None:
    await peer.send(ChannelOpen(channel, "tok"))
    assert await peer.expect(ChannelOpen) == ChannelOpen(channel, "tok")


def request(name: str, path: str = "/x") -> bytes:
    return proxy.encode_request(proxy.Request(name, "GET", path))


async def test_channels_are_accepted_refused_and_closed_by_their_json_id() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        # Header 1, JSON 7, an unknown key, spaces around the token: echoed as channel 7, trimmed.
        text = b'{"more":1, "channel_id": 7, "auth_token":" tok\\n"}'
        await peer.send_frame(FrameType.CHANNEL_OPEN, 1, text)
        assert await peer.frame() == frames.decode(frames.message(ChannelOpen(7, "tok")))
        for token in ("wrong", "", "  "):
            await peer.send(ChannelOpen(7, token))
            assert await peer.expect(ChannelClose) == ChannelClose(7, "invalid auth token")
        assert list(instance.channels) == [7], "a refused re-open leaves the old channel alive"
        await peer.send_frame(FrameType.CHANNEL_OPEN, 8, b"not json")
        assert await peer.silent(0.1)
        await peer.send_frame(FrameType.CHANNEL_CLOSE, 7, b"not json")
        await until_async(lambda: not instance.channels)
        instance_done.set()
        await held(peer)

    instance_done = asyncio.Event()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens={"tok"}) as instance,
    ):
        await asyncio.wait_for(instance_done.wait(), 5)


async def test_without_a_validator_every_channel_is_refused() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await peer.send(ChannelOpen(7, "tok"))
        refusal = await peer.expect(ChannelClose)
        assert refusal.reason == "token validation unavailable"
        done.set()
        await held(peer)

    done = asyncio.Event()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens=None),
    ):
        await asyncio.wait_for(done.wait(), 5)


async def exchange(peer: RawSocket, signer: identity.Identity) -> SealedChannel:
    mine = EphemeralKey()
    await peer.send_frame(FrameType.KEY_EXCHANGE, 7, KeyExchange(mine.public).encode())
    theirs = KeyExchange.parse((await peer.expect_type(FrameType.KEY_EXCHANGE)).payload)
    key = signer.public_key
    assert identity.verify(key, ephemeral=theirs.public, signature=theirs.signature)
    return SealedChannel.of_app(mine.agree(theirs.public))


async def test_seals_after_a_key_exchange_and_starts_over_after_a_second() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await opened(peer)
        await peer.send_frame(FrameType.DATA, 7, request("plain"))
        frame = await peer.frame()
        assert proxy.decode_response(frame.payload).id == "plain"
        for low_order in (bytes(32), b"\x01" + bytes(31), b"\x09" * 31):
            await peer.send_frame(FrameType.KEY_EXCHANGE, 7, KeyExchange(low_order).encode())
        await peer.send_frame(FrameType.KEY_EXCHANGE, 8, KeyExchange(b"\x09" * 32).encode())
        for name in ("first", "second"):
            sealed = await exchange(peer, signer)
            await peer.send_frame(FrameType.DATA, 7, request("dropped"))
            await peer.send_frame(FrameType.DATA, 7, sealed.seal(request(name)))
            frame = await peer.frame()
            assert frame.payload[:12] == bytes(12)
            assert proxy.decode_response(sealed.open(frame.payload)).id == name
        done.set()
        await held(peer)

    done, signer = asyncio.Event(), identity.make()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens={"tok"}, identity=signer),
    ):
        await asyncio.wait_for(done.wait(), 5)


async def test_without_an_identity_key_the_channel_is_closed() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await opened(peer)
        await peer.send_frame(
            FrameType.KEY_EXCHANGE, 7, KeyExchange(EphemeralKey().public).encode()
        )
        refusal = await peer.expect(ChannelClose)
        assert refusal == ChannelClose(7, "key exchange signing unavailable")
        done.set()
        await held(peer)

    done = asyncio.Event()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens={"tok"}, identity=None),
    ):
        await asyncio.wait_for(done.wait(), 5)


async def test_limits_overload_and_bad_requests_are_answered_with_the_request_id() -> None:
    gate = asyncio.Event()

    async def slow(request: proxy.Request, token: str) -> Answer:
        await gate.wait()
        return Answer(body=bytes(proxy.BODY_LIMIT + 1)) if request.path == "/big" else Answer()

    async def answers(peer: RawSocket, count: int) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for _ in range(count):
            response = proxy.decode_response((await peer.frame()).payload)
            found.setdefault(response.status, []).append(response.id)
        return found

    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await opened(peer)
        for n in range(65):
            await peer.send_frame(FrameType.DATA, 7, request(f"r{n}", "/big" if n == 0 else "/x"))
        assert await answers(peer, 1) == {503: ["r64"]}
        gate.set()
        found = await answers(peer, 64)
        assert (found[413], len(found[200])) == (["r0"], 63)
        await peer.send_frame(FrameType.DATA, 7, b"not json")
        assert await answers(peer, 1) == {400: [""]}
        for n in range(66, 301):
            await peer.send_frame(FrameType.DATA, 7, request(f"s{n}"))
            if n < 300:
                await answers(peer, 1)
        assert await answers(peer, 1) == {429: ["s300"]}
        done.set()
        await held(peer)

    done = asyncio.Event()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens={"tok"}, handler=slow),
    ):
        await asyncio.wait_for(done.wait(), 10)


async def test_event_streams() -> None:
    async def events(broken: bool) -> AsyncIterator[bytes]:
        yield b"data: 1"
        yield b": comment"
        if broken:
            raise OSError("the connection behind broke")

    async def stream(request: proxy.Request, token: str) -> Stream:
        return Stream(events(request.path == "/broken"))

    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        await opened(peer)
        for path, last in (("/x", (200, False, True)), ("/broken", (502, False, False))):
            await peer.send_frame(FrameType.DATA, 7, request("r", path))
            got = [proxy.decode_response((await peer.frame()).payload) for _ in range(4)]
            assert got[0].headers == {"Content-Type": "text/event-stream"} and got[0].stream
            assert [r.body for r in got[1:3]] == [b"data: 1", b": comment"]
            assert (got[3].status, got[3].stream, got[3].stream_done) == last
        done.set()
        await held(peer)

    done = asyncio.Event()
    async with (
        scripted_relay(script) as url,
        make_instance(url, valid_tokens={"tok"}, handler=stream),
    ):
        await asyncio.wait_for(done.wait(), 5)


async def test_pongs_keep_it_alive_and_silence_ends_it() -> None:
    async def script(peer: RawSocket) -> None:
        await acknowledge(peer)
        if instance.connections == 1:
            return await held(peer)
        peer.stop_reading()
        await until_async(lambda: instance.connections > 2)

    timing = Timing(backoff=0.05, ping=0.1, read_deadline=0.3)
    async with (
        scripted_relay(script) as url,
        make_instance(url, timing=timing) as instance,
    ):
        await instance.registered()
        await asyncio.sleep(0.6)
        assert instance.connections == 1, "answered pings count as life"
        instance.cut()
        await until_async(lambda: instance.connections == 2 and instance.is_registered)
        started = time.monotonic()
        await until_async(lambda: instance.connections == 3)
        assert time.monotonic() - started < 2
