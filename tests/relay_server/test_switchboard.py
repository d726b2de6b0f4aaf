"""The switchboard where no running relay can be brought: at the end of the channel numbers, and
when the whole relay's queues are full."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from relay.server import switchboard
from relay.server.counters import Counters
from relay.server.switchboard import Channel, Instance, LineLost, State, Switchboard
from relay.wire.frames import (
    MAX_CHANNEL,
    ChannelOpen,
    ErrorCode,
    FrameType,
    decode,
    encode,
    message,
)


class Recorder:
    """A Line that keeps what is written to it; `blocked` as long as its peer does not read."""

    def __init__(self) -> None:
        self.heard = time.monotonic()
        self.resumed: Callable[[], None] | None = None
        self.written: list[bytes] = []
        self.blocked = False
        self.ended: int | None = None

    def write(self, message: bytes, /) -> bool:
        if self.ended is not None:
            raise LineLost
        if not self.blocked:
            self.written.append(message)
        return not self.blocked

    async def writable_again(self) -> None: ...

    def finish(self, code: int = 1000) -> None:
        self.ended = code

    def finish_soon(self, code: int = 1000) -> None: ...

    def abort(self) -> None:
        self.ended = 1006


def board(**kw: int) -> tuple[Switchboard, Instance, Recorder]:
    made = Switchboard(Counters(), max_channels=kw.get("max_channels", 64))
    line = Recorder()
    instance = Instance("relay_0123456789abcdef", line, identity="")
    made.register(instance)
    return made, instance, line


def opened(made: Switchboard, instance: Instance, line: Recorder) -> Channel:
    channel = made.open(instance, line, address="10.0.0.1")
    assert isinstance(channel, Channel)
    channel.told = True
    made.from_instance(instance, message(ChannelOpen(channel.id, "t")))
    assert channel.state is State.OPEN
    return channel


@pytest.mark.covers("R05", "R46")
async def test_the_last_channel_number_works_and_none_comes_twice() -> None:
    made, instance, home = board()
    instance.next_channel = MAX_CHANNEL
    app = Recorder()
    channel = opened(made, instance, app)
    assert channel.id == 4_294_967_295
    ack = decode(app.written[0])
    assert (ack.type, ack.channel) == (FrameType.CONNECT_ACK, 4_294_967_295)
    data = encode(FrameType.DATA, 4_294_967_295, b"x")
    made.from_instance(instance, data)
    assert app.written[1] is data
    # The next app is told to come again; the instance is closed and begins at 1.
    assert made.open(instance, Recorder(), address="b") == ErrorCode.INSTANCE_NOT_FOUND
    assert home.ended == 1000
    assert made.instances == {}
    assert app.ended == 1000


@pytest.mark.covers("F11")
async def test_all_queues_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the relay's bound only those who hold more than their fair share are closed."""
    monkeypatch.setattr(switchboard, "RELAY_QUEUE", 3 * switchboard.MIB)
    made, instance, _ = board()
    modest, *greedy = [(opened(made, instance, line), line) for line in (Recorder(), Recorder(), Recorder(), Recorder())]  # fmt: skip
    for _, line in (modest, *greedy):
        line.blocked = True
    frame = bytes(60_000)
    for _ in range(3):
        modest[0].offer(frame)
    for _ in range(30):
        for channel, line in greedy:
            if line.ended is None:
                channel.offer(frame)
    assert modest[1].ended is None
    assert any(line.ended == 1006 for _, line in greedy)
    assert made.queued <= 3 * switchboard.MIB + len(frame) + switchboard.FRAME_COST
    modest[1].blocked = False
    assert modest[1].resumed is not None
    modest[1].resumed()
    assert len(modest[1].written) == 4
    for channel, _ in (modest, *greedy):
        channel.drop()
    assert made.queued == 0
