"""Key exchange and sealed messages against the published vectors."""

from __future__ import annotations

from typing import Any

import pytest

from relay.wire import frames, sealing
from relay.wire.sealing import EphemeralKey, KeyExchange, Keys, SealedChannel, SealingError
from tests.vectors import group, load, named


def keys_of(number: int) -> Keys:
    vector = load()["x25519"][number]
    return Keys(bytes.fromhex(vector["key_a2i"]), bytes.fromhex(vector["key_i2a"]))


def ends(vector: dict[str, Any]) -> tuple[SealedChannel, SealedChannel]:
    """Sender and receiver of a vector's direction."""
    app, instance = (
        of(keys_of(vector["keys"])) for of in (SealedChannel.of_app, SealedChannel.of_instance)
    )
    return (app, instance) if vector["direction"] == "a2i" else (instance, app)


def test_key_derivation_parameters() -> None:
    vector = load()["kdf"]
    assert sealing.SALT.decode() == vector["salt_text"]
    assert sealing.INFO_APP_TO_INSTANCE.decode() == vector["info_a2i_text"]
    assert sealing.INFO_INSTANCE_TO_APP.decode() == vector["info_i2a_text"]
    assert vector["key_bytes"] == sealing.KEY_SIZE


@pytest.mark.parametrize("vector", group("x25519"), ids=named)
def test_both_sides_agree_on_the_keys(vector: dict[str, Any]) -> None:
    app = EphemeralKey(bytes.fromhex(vector["app_private"]))
    instance = EphemeralKey(bytes.fromhex(vector["instance_private"]))
    assert app.public.hex() == vector["app_public"]
    assert instance.public.hex() == vector["instance_public"]
    assert app.agree(instance.public) == instance.agree(app.public) == keys_of(vector["n"])


@pytest.mark.parametrize("vector", group("x25519_rejects"), ids=named)
def test_weak_and_misshapen_keys_are_refused(vector: dict[str, Any]) -> None:
    size = int(vector["name"].split()[-2]) if "bytes" in vector["name"] else 32
    public = bytes.fromhex(vector["public_hex"]) if "public_hex" in vector else b"\x09" * size
    with pytest.raises(SealingError) as refused:
        EphemeralKey().agree(public)
    assert refused.value.code == "BAD_PUBLIC_KEY"


@pytest.mark.parametrize("vector", group("key_exchange"))
def test_key_exchange_payloads_and_frames(vector: dict[str, Any]) -> None:
    for side, size in (("app", 33), ("instance", 97)):
        payload = bytes.fromhex(vector[f"{side}_payload_hex"])
        parsed = KeyExchange.parse(payload)
        assert parsed.encode() == payload and len(payload) == size
        frame = frames.encode(frames.FrameType.KEY_EXCHANGE, 7, payload)
        assert frame.hex() == vector[f"{side}_frame_hex_channel_7"]
    assert parsed.public.hex() == vector["instance_public"]
    assert parsed.signature.hex() == vector["signature_hex"]


@pytest.mark.parametrize("vector", group("key_exchange_parse"), ids=named)
def test_key_exchange_parsing(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["payload_hex"])
    if vector["parsed"]:
        parsed = KeyExchange.parse(payload)
        assert len(parsed.public) == vector["public_bytes"]
        assert len(parsed.signature) == vector["signature_bytes"]
    else:
        with pytest.raises(SealingError) as refused:
            KeyExchange.parse(payload)
        assert refused.value.code == vector["error"]


@pytest.mark.parametrize("vector", group("messages"))
def test_seals_and_opens_every_message(vector: dict[str, Any]) -> None:
    sender, receiver = ends(vector)
    plaintext, sealed = bytes.fromhex(vector["plaintext_hex"]), bytes.fromhex(vector["sealed_hex"])
    sender.next_to_send = int(vector["counter"])
    assert sender.seal(plaintext) == sealed
    assert sealed[: sealing.NONCE_SIZE].hex() == vector["nonce_hex"]
    assert receiver.open(sealed) == plaintext
    assert receiver.next_expected == int(vector["counter"]) + 1


@pytest.mark.covers("F46")
@pytest.mark.parametrize("vector", group("message_rejects"), ids=named)
def test_an_exhausted_counter_seals_nothing(vector: dict[str, Any]) -> None:
    """F46: no nonce is ever used twice, not even after 2^64 messages."""
    sender, _ = ends(vector)
    sender.next_to_send = 2**64 - 1
    with pytest.raises(SealingError) as refused:
        sender.seal(b"")
    assert refused.value.code == vector["error"]


def test_replay_sequence() -> None:
    """F44: replayed, reordered and tampered messages are refused, and none moves the counter."""
    sequence = load()["replay_sequence"]
    _, receiver = ends(sequence)
    for step in sequence["steps"]:
        sealed = bytes.fromhex(step["sealed_hex"])
        if step["accepted"]:
            assert receiver.open(sealed).decode() == step["plaintext_text"], step["what"]
        else:
            with pytest.raises(SealingError) as refused:
                receiver.open(sealed)
            assert refused.value.code == step["error"], step["what"]
        assert receiver.next_expected == step["next_expected_counter"], step["what"]


def test_opens_what_the_published_mobile_app_sealed() -> None:
    vector = load()["mobile_app_vector"]
    keys = EphemeralKey(bytes.fromhex(vector["instance_private"])).agree(
        bytes.fromhex(vector["app_public"])
    )
    assert keys == Keys(bytes.fromhex(vector["key_a2i"]), bytes.fromhex(vector["key_i2a"]))
    opened = SealedChannel.of_instance(keys).open(bytes.fromhex(vector["sealed_hex"]))
    assert opened.decode() == vector["plaintext_text"]
    assert SealedChannel.of_app(keys).seal(opened).hex() == vector["sealed_hex"]


def test_a_second_exchange_gives_other_keys_and_counters_from_zero() -> None:
    """F46: counters may restart only because the keys are new."""
    app = EphemeralKey()
    first, second = (EphemeralKey().agree(app.public) for _ in range(2))
    assert first != second
    channels = [SealedChannel.of_instance(keys) for keys in (first, second)]
    assert [channel.seal(b"x")[:12] for channel in channels] == [bytes(12)] * 2
    assert channels[0].seal(b"x")[12:] != channels[1].seal(b"x")[12:]


def test_keys_are_not_in_the_repr_of_a_channel() -> None:
    assert "key" not in repr(SealedChannel.of_app(keys_of(0)))
