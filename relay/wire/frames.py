"""The whole wire format, version 1 (relay-protocol sections 2-4, 14).

Every WebSocket message is binary and holds exactly one frame:

    0        1        2                                   6                    6 + payload
    +--------+--------+--------+--------+--------+--------+---------------- ... -+
    | version|  type  |    channel id, big endian, u32    | payload, 0-65536 bytes |
    +--------+--------+--------+--------+--------+--------+---------------- ... -+

Control frames carry JSON, DATA is opaque, KEY_EXCHANGE is binary (`relay.wire.sealing`), PING and
PONG are empty. Channel 0 means the connection itself.
"""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from struct import Struct
from typing import Any, NamedTuple, TypeVar, get_type_hints

VERSION = 1
HEADER = Struct(">BBI")  # version, type, channel id
MAX_PAYLOAD = 65536
MAX_MESSAGE = HEADER.size + MAX_PAYLOAD  # 65542: the instance closes with 1009 above it
MAX_CHANNEL = 2**32 - 1


class FrameType(IntEnum):
    REGISTER = 0x01  # instance -> relay, first message
    REGISTER_ACK = 0x02  # relay -> instance
    CONNECT = 0x03  # app -> relay, first message
    CONNECT_ACK = 0x04  # relay -> app
    CHANNEL_OPEN = 0x05  # relay -> instance, echoed by it when it accepts
    CHANNEL_CLOSE = 0x06  # any direction
    DATA = 0x07  # app <-> instance
    PING = 0x08
    PONG = 0x09  # answers PING: channel 0, empty
    ERROR = 0x0A  # relay -> instance or app
    DRAIN = 0x0B  # relay -> instance and app
    KEY_EXCHANGE = 0x0C  # app <-> instance
    PUSH_NOTIFICATION = 0x0D  # instance -> relay


_TYPES = tuple(FrameType(n) if n in FrameType._value2member_map_ else None for n in range(256))
PING = HEADER.pack(VERSION, FrameType.PING, 0)
PONG = HEADER.pack(VERSION, FrameType.PONG, 0)


class ErrorCode(StrEnum):
    """`code` of an ERROR frame."""

    INTERNAL_ERROR = "INTERNAL_ERROR"
    INSTANCE_NOT_FOUND = "INSTANCE_NOT_FOUND"
    AUTH_FAILED = "AUTH_FAILED"
    LICENSE_INVALID = "LICENSE_INVALID"
    LICENSE_EXPIRED = "LICENSE_EXPIRED"
    RATE_LIMITED = "RATE_LIMITED"
    DUPLICATE_INSTANCE = "DUPLICATE_INSTANCE"
    CHANNEL_LIMIT_REACHED = "CHANNEL_LIMIT_REACHED"
    SERVER_DRAINING = "SERVER_DRAINING"


class FrameError(ValueError):
    """A message that is not a frame. `code` is FRAME_TOO_SHORT, UNSUPPORTED_VERSION,
    UNKNOWN_FRAME_TYPE or PAYLOAD_TOO_LARGE; MALFORMED_PAYLOAD for a control frame's JSON."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Frame(NamedTuple):
    type: FrameType
    channel: int
    payload: bytes


def peek(message: bytes) -> tuple[FrameType, int]:
    """Type and channel of a message, without copying its payload. Raises FrameError."""
    if len(message) < HEADER.size:
        raise FrameError("FRAME_TOO_SHORT")
    version, number, channel = HEADER.unpack_from(message)
    if version != VERSION:
        raise FrameError("UNSUPPORTED_VERSION")
    kind = _TYPES[number]
    if kind is None:
        raise FrameError("UNKNOWN_FRAME_TYPE")
    if len(message) > MAX_MESSAGE:
        raise FrameError("PAYLOAD_TOO_LARGE")
    return kind, channel


def decode(message: bytes) -> Frame:
    """Raises FrameError."""
    kind, channel = peek(message)
    return Frame(kind, channel, message[HEADER.size :])


def encode(kind: FrameType, channel: int, payload: bytes = b"") -> bytes:
    """Raises FrameError(PAYLOAD_TOO_LARGE)."""
    if len(payload) > MAX_PAYLOAD:
        raise FrameError("PAYLOAD_TOO_LARGE")
    return HEADER.pack(VERSION, kind, channel) + payload


# --- JSON of the control frames ------------------------------------------------------------------
# Field order is the order on the wire. A field with a default is left out when it is empty.


class Register(NamedTuple):
    license_token: str
    session_token: str = ""
    instance_hint: str = ""
    client_version: str = ""
    identity_pub_key: str = ""


class RegisterAck(NamedTuple):
    instance_id: str
    session_token: str
    expires_at: int  # Unix seconds


class Connect(NamedTuple):
    instance_id: str
    auth_token: str
    device_token: str = ""
    platform: str = ""
    notification_preferences: dict[str, Any] | None = None


class ConnectAck(NamedTuple):
    channel_id: int
    instance_id: str


class ChannelOpen(NamedTuple):
    channel_id: int
    auth_token: str


class ChannelClose(NamedTuple):
    channel_id: int
    reason: str = ""


class Error(NamedTuple):
    code: str
    message: str


class Drain(NamedTuple):
    reason: str = ""
    reconn_url: str = ""


Control = Register | RegisterAck | Connect | ConnectAck | ChannelOpen | ChannelClose | Error | Drain
AnyControl = TypeVar("AnyControl", bound=Control)
CONTROLS: dict[type[Any], FrameType] = {
    Register: FrameType.REGISTER,
    RegisterAck: FrameType.REGISTER_ACK,
    Connect: FrameType.CONNECT,
    ConnectAck: FrameType.CONNECT_ACK,
    ChannelOpen: FrameType.CHANNEL_OPEN,
    ChannelClose: FrameType.CHANNEL_CLOSE,
    Error: FrameType.ERROR,
    Drain: FrameType.DRAIN,
}
_HINTS: dict[type[Any], dict[str, Any]] = {kind: get_type_hints(kind) for kind in CONTROLS}
# What the standard Go encoder escapes inside strings, and json.dumps does not.
_GO_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def message(control: Control) -> bytes:
    """The whole frame of a control payload; header and JSON name the same channel."""
    return encode(CONTROLS[type(control)], getattr(control, "channel_id", 0), to_json(control))


def to_json(control: Control) -> bytes:
    """Byte for byte what the upstream (Go) encoder writes."""
    defaults = control._field_defaults
    values = control._asdict()
    return dump_json({k: v for k, v in values.items() if k not in defaults or v != defaults[k]})


def dump_json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_GO_ESCAPES).encode("utf-8", "replace")


def parse(kind: type[AnyControl], payload: bytes) -> AnyControl:
    """Reads `kind` from JSON as the upstream decoder does: unknown keys are ignored, a missing or
    null value is empty. Raises FrameError(MALFORMED_PAYLOAD) for anything else."""
    values = parse_json(payload)
    return kind(**{k: _checked(k, h, values.get(k)) for k, h in _HINTS[kind].items()})


def parse_json(payload: bytes) -> dict[str, Any]:
    """A JSON object. Raises FrameError(MALFORMED_PAYLOAD)."""
    try:
        values = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):  # RecursionError: 60,000 opening brackets
        raise FrameError("MALFORMED_PAYLOAD") from None
    if not isinstance(values, dict):
        raise FrameError("MALFORMED_PAYLOAD")
    return values


def _checked(key: str, hint: Any, value: Any) -> Any:
    if hint is str:
        value = "" if value is None else value
        # NUL and lone surrogates are JSON but cannot be stored or written as UTF-8 again.
        if isinstance(value, str) and "\0" not in value and not _has_surrogate(value):
            return value
    elif hint is int:
        value = 0 if value is None else value
        limit = (0, MAX_CHANNEL) if key == "channel_id" else (-(2**63), 2**63 - 1)
        if type(value) is int and limit[0] <= value <= limit[1]:
            return value
    elif value is None or isinstance(value, dict):
        return value
    raise FrameError("MALFORMED_PAYLOAD")


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)
