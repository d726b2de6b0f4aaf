"""What the phone says and does when relay or instance answer otherwise than they should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay.phone import ADVICE, Phone, PhoneError
from relay.wire import frames, identity, proxy
from relay.wire.frames import ChannelClose, ConnectAck, Drain, Error, ErrorCode, FrameType
from relay.wire.pairing import Pairing
from relay.wire.sealing import EphemeralKey, KeyExchange, SealedChannel
from tests.raw_socket import RawSocket
from tests.scripted_relay import accept, scripted_relay

TOKEN = "0f" * 32
PINNED = identity.make()


def phone_for(url: str, *, timeout: float = 5.0) -> Phone:
    link = Pairing(
        "relay_0123456789abcdef", f"{url}/ws/app", TOKEN, PINNED.public_key, PINNED.fingerprint
    ).link()
    return Phone.from_link(link, timeout=timeout)


async def refusal(url: str, *, timeout: float = 5.0) -> PhoneError:
    """The error of opening, which must also leave the phone closed and name no token."""
    phone = phone_for(url, timeout=timeout)
    with pytest.raises(PhoneError) as refused:
        await phone.open()
    assert TOKEN not in str(refused.value) and refused.value.advice
    with pytest.raises(PhoneError) as closed:
        await phone.request("GET", "/")
    assert closed.value.code == "NOT_CONNECTED"
    return refused.value


async def sealed_by(peer: RawSocket, signer: identity.Identity = PINNED) -> SealedChannel:
    """Plays relay and instance up to the sealed channel."""
    await accept(peer)
    theirs = KeyExchange.parse((await peer.expect_type(FrameType.KEY_EXCHANGE)).payload)
    mine = EphemeralKey()
    exchange = KeyExchange(mine.public, signer.sign(mine.public))
    await peer.send_frame(FrameType.KEY_EXCHANGE, 7, exchange.encode())
    return SealedChannel.of_instance(mine.agree(theirs.public))


@pytest.mark.parametrize("code", [*ErrorCode, "A_CODE_OF_TOMORROW"])
async def test_every_code_of_the_relay_comes_with_advice(code: str) -> None:
    async def script(peer: RawSocket) -> None:
        connect = await peer.expect(frames.Connect)
        assert connect.auth_token == TOKEN
        await peer.send(Error(code, "text for people"))

    async with scripted_relay(script) as url:
        error = await refusal(url)
    assert error.code == code and "text for people" in error.what
    assert error.pairing_is_over is (code == ErrorCode.AUTH_FAILED)


@pytest.mark.parametrize(
    "first",
    [
        frames.PING,
        frames.encode(FrameType.DATA, 7, b"x"),
        frames.encode(FrameType.KEY_EXCHANGE, 7, b"x"),
        b"",
        b"\x02\x04\x00\x00\x00\x07{}",
        frames.encode(FrameType.CONNECT_ACK, 7, b"not json"),
        "a text message",
    ],
)
async def test_the_first_frame_must_be_the_acknowledgement(first: bytes | str) -> None:
    async def script(peer: RawSocket) -> None:
        await peer.expect(frames.Connect)
        await peer.send(first)
        await peer.closed()

    async with scripted_relay(script) as url:
        assert (await refusal(url)).code == "PROTOCOL_ERROR"


async def test_an_instance_with_another_identity_is_refused_before_anything_is_sent() -> None:
    sent: list[bytes | str] = []

    async def script(peer: RawSocket) -> None:
        await sealed_by(peer, signer=identity.make())
        async for message in peer.socket:
            sent.append(message)

    async with scripted_relay(script) as url:
        error = await refusal(url)
    assert error.code == "IDENTITY_MISMATCH" and PINNED.fingerprint in error.what
    assert not error.pairing_is_over and sent == []


@pytest.mark.parametrize(
    ("exchange", "code"),
    [
        (KeyExchange(EphemeralKey().public), "IDENTITY_MISMATCH"),
        (KeyExchange(EphemeralKey().public, bytes(64)), "IDENTITY_MISMATCH"),
        (KeyExchange(EphemeralKey().public, PINNED.sign(b"other")), "IDENTITY_MISMATCH"),
        (KeyExchange(bytes(32), PINNED.sign(bytes(32))), "PROTOCOL_ERROR"),
        (KeyExchange(b"\x09" * 31, PINNED.sign(b"\x09" * 31)), "PROTOCOL_ERROR"),
    ],
    ids=["unsigned", "zero signature", "signature of another key", "low order", "31 bytes"],
)
async def test_a_key_that_the_pinned_identity_did_not_sign(
    exchange: KeyExchange, code: str
) -> None:
    async def script(peer: RawSocket) -> None:
        await accept(peer)
        await peer.expect_type(FrameType.KEY_EXCHANGE)
        await peer.send_frame(FrameType.KEY_EXCHANGE, 7, exchange.encode())
        await peer.closed()

    async with scripted_relay(script) as url:
        assert (await refusal(url)).code == code


async def test_silence_is_a_time_out_that_keeps_the_pairing() -> None:
    async def script(peer: RawSocket) -> None:
        await peer.closed(seconds=5)

    async with scripted_relay(script) as url:
        error = await refusal(url, timeout=0.2)
    assert (error.code, error.pairing_is_over) == ("TIMED_OUT", False)


async def test_an_address_where_nobody_listens() -> None:
    async def script(peer: RawSocket) -> None:
        pass

    async with scripted_relay(script) as url:
        pass
    assert (await refusal(url)).code == "RELAY_UNREACHABLE"


async def asked(
    answer: Callable[[RawSocket, SealedChannel, bytes], Awaitable[None]],
) -> tuple[PhoneError, Phone]:
    """The error of a request that is answered so."""

    async def script(peer: RawSocket) -> None:
        sealed = await sealed_by(peer)
        frame = await peer.expect_type(FrameType.DATA)
        request = proxy.decode_request(sealed.open(frame.payload))
        response = proxy.encode_response(proxy.Response(request.id, 200, body=b"{}"))
        await answer(peer, sealed, response)
        await peer.closed()

    async with scripted_relay(script) as url, phone_for(url) as phone:
        with pytest.raises(PhoneError) as failed:
            await phone.request("GET", "/")
            await phone.request("GET", "/")
        assert TOKEN not in str(failed.value)
        return failed.value, phone


async def send_data(peer: RawSocket, payload: bytes) -> None:
    await peer.send_frame(FrameType.DATA, 7, payload)


@pytest.mark.covers("F44")
async def test_a_tampered_message_closes_the_connection() -> None:
    """F44: it is not skipped as if nothing had happened."""

    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        good = sealed.seal(response)
        await send_data(peer, good[:-1] + bytes([good[-1] ^ 1]))
        await send_data(peer, good)

    error, phone = await asked(answer)
    assert error.code == "TAMPERED"
    with pytest.raises(PhoneError, match="NOT_CONNECTED"):
        await phone.request("GET", "/")


async def test_a_replayed_message_closes_the_connection() -> None:
    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        good = sealed.seal(response)
        await send_data(peer, good)
        await send_data(peer, good)

    assert (await asked(answer))[0].code == "TAMPERED"


async def test_plaintext_on_a_sealed_channel_is_not_believed() -> None:
    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        await send_data(peer, response)

    assert (await asked(answer))[0].code == "TAMPERED"


async def test_an_answer_that_is_none() -> None:
    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        await send_data(peer, sealed.seal(b"not json"))

    assert (await asked(answer))[0].code == "PROTOCOL_ERROR"


@pytest.mark.parametrize(
    ("control", "code"),
    [
        (ChannelClose(7, "instance gone"), "CHANNEL_CLOSED"),
        (Drain("rolling update"), ErrorCode.SERVER_DRAINING),
        (Error(ErrorCode.INTERNAL_ERROR, "oops"), ErrorCode.INTERNAL_ERROR),
    ],
)
async def test_the_end_of_a_live_connection(control: frames.Control, code: str) -> None:
    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        await peer.send(control)

    error, _ = await asked(answer)
    assert error.code == code and not error.pairing_is_over


async def test_a_socket_that_just_ends() -> None:
    async def answer(peer: RawSocket, sealed: SealedChannel, response: bytes) -> None:
        peer.vanish()

    assert (await asked(answer))[0].code == "CONNECTION_LOST"


async def test_frames_of_other_channels_and_answers_to_other_requests_are_passed_over() -> None:
    async def script(peer: RawSocket) -> None:
        sealed = await sealed_by(peer)
        await peer.expect_type(FrameType.DATA)
        await peer.send(frames.encode(FrameType.DATA, 8, b"of another channel"))
        await peer.send(frames.encode(FrameType.PING, 3, b"x"))
        for name, body in (("req_0", b"late"), ("req_1", b"right")):
            response = proxy.Response(name, 200, body=body)
            await send_data(peer, sealed.seal(proxy.encode_response(response)))
        assert await peer.frame() == (FrameType.PONG, 0, b"")
        await peer.closed()

    async with scripted_relay(script) as url, phone_for(url) as phone:
        assert (await phone.request("GET", "/")).body == b"right"


async def test_wait_closed_tells_why() -> None:
    async def script(peer: RawSocket) -> None:
        await sealed_by(peer)
        await peer.send(ChannelClose(7, "instance gone"))

    async with scripted_relay(script) as url, phone_for(url) as phone:
        ended = await asyncio.wait_for(phone.wait_closed(), 5)
    assert ended.code == "CHANNEL_CLOSED" and "instance gone" in ended.what


async def test_a_link_without_identity_is_refused_before_dialling() -> None:
    link = Pairing("relay_x", "ws://127.0.0.1:1/ws/app", TOKEN).link()
    with pytest.raises(PhoneError) as refused:
        Phone.from_link(link)
    assert refused.value.code == "IDENTITY_MISSING"


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("https://example.test", "pulse://connect"),
        ("pulse://connect?instance_id=relay_x&relay_url=ws://a/", "auth_token"),
        ("pulse://connect?auth_token=secret-token&relay_url=ws://a/", "instance_id"),
        ("pulse://connect?auth_token=secret-token&instance_id=relay_x", "relay_url"),
    ],
)
def test_a_broken_link_says_what_is_missing(link: str, says: str) -> None:
    with pytest.raises(PhoneError) as refused:
        Phone.from_link(link)
    assert refused.value.code == "LINK_INVALID" and says in refused.value.what
    assert "secret-token" not in str(refused.value)


def test_every_code_the_relay_sends_to_apps_has_its_own_advice() -> None:
    to_apps = set(ErrorCode) - {
        ErrorCode.LICENSE_INVALID, ErrorCode.LICENSE_EXPIRED, ErrorCode.DUPLICATE_INSTANCE,
    }  # fmt: skip
    assert to_apps <= set(ADVICE)
    assert all("kept" in ADVICE[code] for code in to_apps - {ErrorCode.AUTH_FAILED})


async def test_an_acknowledgement_on_the_largest_channel() -> None:
    async def script(peer: RawSocket) -> None:
        await peer.expect(frames.Connect)
        await peer.send(ConnectAck(frames.MAX_CHANNEL, "relay_0123456789abcdef"))
        frame = await peer.expect_type(FrameType.KEY_EXCHANGE)
        assert frame.channel == frames.MAX_CHANNEL
        await peer.send(ChannelClose(frames.MAX_CHANNEL, "seen"))
        await peer.closed()

    async with scripted_relay(script) as url:
        assert "seen" in (await refusal(url)).what
