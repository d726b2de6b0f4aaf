"""Tokens and contents appear in no log line and in no error, at any log level (F48)."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from websockets.asyncio.client import connect

from relay.wire.frames import Connect, Error, FrameType, Register, RegisterAck, message
from tests.raw_socket import RawSocket
from tests.relay_server.channels import accept
from tests.relay_server.process import NewRelay
from tests.relay_server.signing import fresh, licence


@pytest.mark.covers("R26", "R48", "F48")
async def test_nothing_secret_is_logged_or_echoed(new_relay: NewRelay) -> None:
    relay = new_relay(PULSECLOUD_LOG_LEVEL="DEBUG")
    minted: list[str] = []

    def secret() -> str:
        minted.append(secrets.token_hex(32))
        return minted[-1]

    lid = fresh("lic")
    for credential in (licence(lid=lid, email=f"{secret()}@example.test"), secret()):
        minted.append(credential)
        async with await RawSocket.open(relay.instances) as refused:
            # Wrong in one way or the other.
            await refused.send(Register(credential, secret(), "relay_0123456789abcdef", secret()))
            error = await refused.expect(Error)
            assert not any(s in error.message for s in minted)
    home = await RawSocket.open(f"{relay.instances}?token={secret()}")
    registered = licence(lid=lid)
    minted.append(registered)
    await home.send(Register(registered, instance_hint=secret()))
    ack = await home.expect(RegisterAck)
    minted.append(ack.session_token)

    headers = {"Authorization": f"Bearer {secret()}", "Cookie": f"session={secret()}"}
    async with connect(
        f"{relay.apps}?auth={secret()}", additional_headers=headers, compression=None
    ) as socket:
        app = RawSocket(socket)
        opened = asyncio.create_task(accept(home))
        token = secret()
        await app.send(Connect(ack.instance_id, token, secret(), "ios"))
        await app.expect_type(FrameType.CONNECT_ACK)
        assert (await opened).auth_token == token
        content = secret().encode()
        await app.send_frame(FrameType.DATA, 1, content)
        await home.expect_type(FrameType.DATA)
        await home.send_frame(FrameType.PUSH_NOTIFICATION, 0, b'{"title":"%s"}' % content)
        await home.send(b"\x09" + content)  # no frame
        await app.send(b"\x09" + content)
        assert await app.closed() == 1002
    async with await RawSocket.open(relay.apps) as refused:
        await refused.send(message(Connect(secret(), secret())))
        error = await refused.expect(Error)
        assert not any(s in error.message for s in minted)
    home.vanish()
    assert relay.stop()[0] == 0
    log = relay.log()
    assert "instance registered" in log
    assert [s for s in minted if s in log] == []
