"""Frames against the published vectors, and against everything that is not one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import frames
from relay.wire.frames import FrameError, FrameType
from tests.vectors import group, named

KIND_OF = {kind: control for control, kind in frames.CONTROLS.items()}


def wire_bytes(vector: dict[str, Any]) -> bytes:
    """The message of a vector; the largest ones are given by prefix, size and filling."""
    if "frame_hex" in vector:
        return bytes.fromhex(vector["frame_hex"])
    if "wire_hex" in vector:
        return bytes.fromhex(vector["wire_hex"])
    prefix = bytes.fromhex(vector.get("frame_prefix_hex") or vector["wire_prefix_hex"])
    size: int = vector.get("frame_bytes") or vector["wire_bytes"]
    return prefix + b"A" * (size - len(prefix))


@pytest.mark.covers("R01")
@pytest.mark.parametrize("vector", group("frames"), ids=named)
def test_decodes_and_encodes_every_vector(vector: dict[str, Any]) -> None:
    wire = wire_bytes(vector)
    if "frame_sha256" in vector:
        assert hashlib.sha256(wire).hexdigest() == vector["frame_sha256"]
    frame = frames.decode(wire)
    assert (frame.type, frame.type.name) == (vector["type"], vector["type_name"])
    assert (frame.channel, len(frame.payload)) == (vector["channel"], vector["payload_bytes"])
    assert frames.peek(wire) == (frame.type, frame.channel)
    assert frames.encode(frame.type, frame.channel, frame.payload) == wire


@pytest.mark.covers("R01")
@pytest.mark.parametrize("vector", [v for v in group("frames") if v["type"] in KIND_OF], ids=named)
def test_control_payloads_are_the_same_bytes_again(vector: dict[str, Any]) -> None:
    frame = frames.decode(wire_bytes(vector))
    control = frames.parse(KIND_OF[frame.type], frame.payload)
    for key, value in vector["payload_json"].items():
        assert getattr(control, key) == value
    assert frames.message(control) == wire_bytes(vector)


@pytest.mark.parametrize("vector", group("frame_errors"), ids=named)
def test_refuses_every_error_vector(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError) as refused:
        if "payload_bytes" in vector:
            frames.encode(FrameType.DATA, 1, b"A" * vector["payload_bytes"])
        else:
            frames.decode(wire_bytes(vector))
    assert refused.value.code == vector["error"]


def test_refuses_the_same_without_copying() -> None:
    for vector in group("frame_errors"):
        if "payload_bytes" not in vector:
            with pytest.raises(FrameError) as refused:
                frames.peek(wire_bytes(vector))
            assert refused.value.code == vector["error"]


@given(st.sampled_from(FrameType), st.integers(0, frames.MAX_CHANNEL), st.binary(max_size=300))
def test_whatever_is_encoded_is_decoded(kind: FrameType, channel: int, payload: bytes) -> None:
    assert frames.decode(frames.encode(kind, channel, payload)) == (kind, channel, payload)


@given(st.binary(max_size=40))
def test_random_messages_are_a_frame_or_a_frame_error(message: bytes) -> None:
    try:
        frame = frames.decode(message)
    except FrameError:
        return
    assert frames.encode(*frame) == message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"\xff\xfe",
        b"[" * 60000,
        b'{"channel_id":' + b"9" * 5000 + b"}",
        b'{"channel_id":4294967296}',
        b'{"channel_id":-1}',
        b'{"channel_id":true}',
        b'{"channel_id":1.0}',
        b'{"channel_id":"1"}',
        b'{"reason":7}',
        b'{"reason":["a"]}',
        b'{"reason":"a\\u0000b"}',
        b'{"reason":"\\ud800"}',
    ],
)
def test_control_json_of_the_wrong_shape_is_malformed(payload: bytes) -> None:
    """R07's first half: whatever the JSON is, reading it raises the one error and nothing else."""
    with pytest.raises(FrameError) as refused:
        frames.parse(frames.ChannelClose, payload)
    assert refused.value.code == "MALFORMED_PAYLOAD"


def test_control_json_is_read_leniently() -> None:
    """Any spacing and key order; unknown keys ignored; missing and null are empty."""
    text = b' { "reason" : null , "more" : {"a": [1]}, "channel_id" : 7 } '
    assert frames.parse(frames.ChannelClose, text) == frames.ChannelClose(7)
    assert frames.parse(frames.Register, b"{}") == frames.Register("")
    connect = frames.parse(
        frames.Connect, b'{"notification_preferences":{"critical_enabled":true}}'
    )
    assert connect.notification_preferences == {"critical_enabled": True}
    with pytest.raises(FrameError):
        frames.parse(frames.Connect, b'{"notification_preferences":"all"}')


def test_header_and_json_of_a_control_frame_name_the_same_channel() -> None:
    for control in (
        frames.ConnectAck(9, "relay_x"),
        frames.ChannelOpen(9, "tok"),
        frames.ChannelClose(9, "why"),
    ):
        frame = frames.decode(frames.message(control))
        assert frame.channel == json.loads(frame.payload)["channel_id"] == 9


def test_text_that_is_no_unicode_can_still_be_written() -> None:
    assert frames.to_json(frames.Error("X", "a\ud800b")) == b'{"code":"X","message":"a?b"}'
