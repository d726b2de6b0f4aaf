"""`manage.py phone` as a person or a script uses it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from relay.wire import identity
from relay.wire.pairing import Pairing
from tests.phone.test_phone import SIGNER, TOKEN, serve
from tests.reference_instance import ReferenceInstance
from tests.relay_server.process import ROOT, Relay
from tests.relay_server.signing import licence


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
async def paired(relay: Relay) -> AsyncIterator[Pairing]:
    async with ReferenceInstance(
        relay.instances,
        license_token=licence(),
        identity=SIGNER,
        valid_tokens={TOKEN},
        handler=serve,
    ) as instance:
        await instance.registered()
        yield Pairing(
            instance.instance_id, relay.apps, TOKEN, SIGNER.public_key, SIGNER.fingerprint
        )


async def run(tmp_path: Path, *arguments: str, stdin: str = "") -> Ended:
    """Runs the command without any database or key of the product; no output ever holds the token."""
    environment = {
        "PATH": os.environ["PATH"],
        "PULSECLOUD_DATA_DIR": str(tmp_path / "var"),
        "DATABASE_URL": "postgresql://nobody:x@127.0.0.1:9/none",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "phone",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
    ended = Ended(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in ended.err
    assert TOKEN not in ended.out + ended.err
    return ended


async def test_prints_the_pairing_the_answers_and_the_timings(
    paired: Pairing, tmp_path: Path
) -> None:
    paths = ("--path", "/api/organisation", "--path", "/events")
    ended = await run(tmp_path, "-", *paths, stdin=paired.link() + "\n")
    assert ended.code == 0, ended.err
    for shown in (
        paired.instance_id,
        paired.identity_fingerprint,
        paired.relay_url,
        "Connected in",
    ):
        assert shown in ended.out
    assert "GET /api/organisation  200" in ended.out and '"path": "/api/organisation"' in ended.out
    assert "data: 2" in ended.out


async def test_sums_up_repeated_requests_as_json(paired: Pairing, tmp_path: Path) -> None:
    options = ("--path", "/echo", "--method", "POST", "--body", '{"a":1}', "--repeat", "20")
    ended = await run(tmp_path, paired.link(), *options, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["instance_id"]) == (0, paired.instance_id)
    assert [(a["status"], a["body"]) for a in document["answers"]] == [(200, {"a": 1})] * 20
    times = document["milliseconds"]
    assert 0 < times["least"] <= times["median"] <= times["p95"] <= times["most"]
    assert set(document["connected_in_milliseconds"]) == {"dialled", "accepted", "sealed"}


async def test_an_error_answer_is_exit_code_1(paired: Pairing, tmp_path: Path) -> None:
    ended = await run(tmp_path, paired.link(), "--path", "/too-large")
    assert ended.code == 1 and "/too-large  413" in ended.out


async def test_a_broken_link_is_exit_code_2_and_says_what_is_missing(tmp_path: Path) -> None:
    ended = await run(tmp_path, "-", stdin=f"pulse://connect?auth_token={TOKEN}\n")
    assert ended.code == 2 and "instance_id" in ended.err and "QR code" in ended.err


async def test_a_refusal_is_exit_code_3_with_the_code_and_the_next_step(
    paired: Pairing, tmp_path: Path
) -> None:
    unpaired = replace(paired, auth_token="0a" * 32)
    ended = await run(tmp_path, unpaired.link(), "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["error"], document["pairing_is_over"]) == (3, "AUTH_FAILED", True)
    assert "Pair again" in ended.err
    assert unpaired.auth_token not in ended.out + ended.err


async def test_a_foreign_identity_is_exit_code_4(paired: Pairing, tmp_path: Path) -> None:
    other = identity.make()
    foreign = replace(
        paired, identity_public_key=other.public_key, identity_fingerprint=other.fingerprint
    )
    ended = await run(tmp_path, foreign.link())
    assert ended.code == 4 and "IDENTITY_MISMATCH" in ended.err
    assert "GET" not in ended.out


async def test_help_tells_the_exit_codes(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--help")
    assert ended.code == 0 and "Exit code" in ended.out and "pulse://connect" in ended.out


async def test_the_phone_itself_knows_no_django() -> None:
    """It can be lifted out of the product and used anywhere."""
    code = "import sys, relay.phone; sys.exit(any(m.startswith('django') for m in sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    assert await process.wait() == 0
