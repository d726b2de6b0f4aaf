"""What somebody without a credential can find out (F53): only whether an instance is online, which
the protocol forces (docs/security.md)."""

from __future__ import annotations

import sqlite3
import statistics
import time

import pytest

from relay.wire.frames import Connect, Error, ErrorCode, Register
from tests.raw_socket import RawSocket, raw_instance
from tests.relay_server.process import NewRelay, Relay
from tests.relay_server.signing import fresh, licence
from tests.waiting import until_async


async def answer(url: str, first: Register | Connect) -> tuple[Error, int | None, float]:
    """The ERROR, the close code, and how long the ERROR took."""
    async with await RawSocket.open(url) as socket:
        began = time.perf_counter()
        await socket.send(first)
        error = await socket.expect(Error)
        took = time.perf_counter() - began
        return error, await socket.closed(), took


@pytest.mark.covers("F53")
async def test_unknown_offline_and_blocked_instances_look_alike(new_relay: NewRelay) -> None:
    relay = new_relay()
    home, offline = await raw_instance(relay.instances, Register(licence()))
    await home.socket.close()
    live, blocked = await raw_instance(relay.instances, Register(licence()))
    database = sqlite3.connect(relay.data_dir / "relay.sqlite3")
    with database:
        database.execute(
            "INSERT INTO relay_server_blockedinstance (instance_id, since) VALUES (?, '2026-01-01')",
            [blocked.instance_id],
        )
    database.close()
    await until_async(lambda: relay.gauges()[0] == 1)
    ids = {
        "unknown": "relay_0123456789abcdef",
        "offline": offline.instance_id,
        "blocked but still connected": blocked.instance_id,
    }
    answers, times = set(), {name: list[float]() for name in ids}
    for _ in range(30):
        for name, instance_id in ids.items():
            error, code, took = await answer(relay.apps, Connect(instance_id, "guess"))
            answers.add((error, code))
            times[name].append(took)
    assert len(answers) == 1
    assert answers.pop()[0].code == ErrorCode.INSTANCE_NOT_FOUND
    medians = [statistics.median(each) for each in times.values()]
    # The same work is done for each. Generous, because tests share two cores; a lookup that one of
    # them lacked would have to take longer than this to be seen over a network.
    assert max(medians) - min(medians) < 0.02
    live.vanish()


@pytest.mark.covers("F53")
async def test_a_resume_without_a_good_credential_reveals_no_session(relay: Relay) -> None:
    lid = fresh("lic")
    home, ack = await raw_instance(relay.instances, Register(licence(lid=lid)))
    await home.socket.close()
    told = {
        (await answer(relay.instances, Register("nonsense", "token", instance_id)))[:2]
        for instance_id in (ack.instance_id, "relay_0123456789abcdef", "x")
    }
    assert len(told) == 1
    assert told.pop()[0].code == ErrorCode.AUTH_FAILED
