"""REGISTER: from the first frame of an instance to its REGISTER_ACK (relay-protocol section 6)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from functools import partial

from relay.server import sessions
from relay.server.credentials import Credential, Refused
from relay.server.sessions import Outcome
from relay.server.station import Station, TurnedAway
from relay.server.storage import StorageDown
from relay.server.switchboard import Instance, Line, LineLost
from relay.wire.frames import (
    ErrorCode,
    FrameError,
    FrameType,
    Register,
    RegisterAck,
    decode,
    message,
    parse,
)

log = logging.getLogger(__name__)

_DRAINING = TurnedAway(ErrorCode.SERVER_DRAINING, "the relay is restarting")


async def register(station: Station, line: Line, first: bytes) -> tuple[Instance, Credential]:
    """Lets an instance in: its session is stored, then REGISTER_ACK is sent, then it is live.

    Raises TurnedAway with the code it is to be told; LineLost when it has gone.

    With session token and id it is a resume, and its credential is checked all the same. A resume
    is never told LICENSE_*: the instance would keep its session and try it again for ever, whereas
    after AUTH_FAILED it comes back at once, fresh, and is told the verdict then."""
    asked = _read(first)
    if station.draining:
        raise _DRAINING
    resuming = bool(asked.session_token and asked.instance_hint)
    credential = _verify(station, asked, resuming=resuming)
    began = time.monotonic()
    try:
        instance_id, organisation = asked.instance_hint, None
        if not resuming:
            find = partial(sessions.id_for, credential, asked.instance_hint)
            # A lease's id follows from its host alone, so the database is not asked.
            instance_id, organisation = (
                find() if credential.kind == "lease" else await station.storage.run(find)
            )
            _count_hint(station, credential, asked.instance_hint)
        elif not sessions.well_formed(instance_id):
            raise TurnedAway(ErrorCode.INSTANCE_NOT_FOUND, "no session of this instance")
        async with station.turn(instance_id):
            token = sessions.new_token()
            if resuming:
                await _resume(station, asked, credential, token)
            else:
                await _start(station, instance_id, asked, credential, organisation, token)
            if station.draining:
                raise _DRAINING
            if station.blocked_since(instance_id, began):
                raise _blocked(resuming=resuming)
            expires_at = int(time.time() + station.limits.session_life)
            if not line.write(message(RegisterAck(instance_id, token, expires_at))):
                raise LineLost
            instance = Instance(instance_id, line, identity=asked.identity_pub_key)
            station.switchboard.register(instance)
    except StorageDown:
        raise TurnedAway(ErrorCode.INTERNAL_ERROR, "the relay cannot store sessions now") from None
    outcome = "resumed" if resuming else "fresh"
    station.counters.registrations[outcome] += 1
    log.info(
        "instance registered",
        extra={
            "instance": instance_id,
            "outcome": outcome,
            "kind": credential.kind,
            "client_version": asked.client_version[:40],
        },
    )
    return instance, credential


def _read(first: bytes) -> Register:
    try:
        frame = decode(first)
        if frame.type is not FrameType.REGISTER:
            raise TurnedAway(ErrorCode.AUTH_FAILED, "the first frame must be REGISTER")
        return parse(Register, frame.payload)
    except FrameError:
        raise TurnedAway(ErrorCode.AUTH_FAILED, "the first frame cannot be read") from None


def _verify(station: Station, asked: Register, *, resuming: bool) -> Credential:
    try:
        return station.verifier.verify(asked.license_token)
    except Refused as refused:
        if resuming:
            raise TurnedAway(ErrorCode.AUTH_FAILED, "the session cannot be resumed") from None
        raise TurnedAway(refused.code, str(refused)) from None


async def _resume(station: Station, asked: Register, credential: Credential, token: str) -> None:
    outcome = await station.storage.change(
        partial(
            sessions.resume,
            asked.instance_hint,
            credential,
            old_token=asked.session_token,
            token=token,
            life=station.limits.session_life,
        )
    )
    if outcome is Outcome.UNKNOWN:
        raise TurnedAway(ErrorCode.INSTANCE_NOT_FOUND, "no session of this instance")
    if outcome is Outcome.BLOCKED:
        raise _blocked(resuming=True)
    if outcome is Outcome.WRONG:
        raise TurnedAway(ErrorCode.AUTH_FAILED, "the session cannot be resumed")


async def _start(
    station: Station,
    instance_id: str,
    asked: Register,
    credential: Credential,
    organisation: uuid.UUID | None,
    token: str,
) -> None:
    now = asyncio.get_running_loop().time()
    if not station.switchboard.may_register(instance_id, asked.identity_pub_key, now):
        raise TurnedAway(
            ErrorCode.DUPLICATE_INSTANCE, "another installation is connected with this instance id"
        )
    outcome = await station.storage.change(
        partial(
            sessions.start,
            instance_id,
            credential,
            organisation=organisation,
            token=token,
            life=station.limits.session_life,
        )
    )
    if outcome is Outcome.BLOCKED:
        raise _blocked(resuming=False)


def _blocked(*, resuming: bool) -> TurnedAway:
    """A suspended organisation's lease stays good for up to a day; the block outweighs it."""
    if resuming:
        return TurnedAway(ErrorCode.AUTH_FAILED, "the session cannot be resumed")
    return TurnedAway(ErrorCode.LICENSE_EXPIRED, "this instance is not entitled to the relay now")


def _count_hint(station: Station, credential: Credential, hint: str) -> None:
    if credential.kind == "lease" and hint and hint != credential.host:
        station.counters.hint_differs += 1
