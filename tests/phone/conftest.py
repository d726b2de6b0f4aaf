"""One real relay for all tests of the phone: `manage.py relay --standalone` as a process."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.product import free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Relay:
    port: int
    key: Ed25519PrivateKey

    @property
    def instance_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/instance"

    @property
    def app_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/app"

    def licence(self) -> str:
        """A new licence: an instance id of its own."""
        claims = {"lid": secrets.token_hex(8), "email": "owner@example.test", "tier": "pro"}
        return jwt.encode({**claims, "exp": 4102444800}, self.key, algorithm="EdDSA")


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    place = tmp_path_factory.mktemp("relay")
    relay = Relay(free_port(), Ed25519PrivateKey.generate())
    public = relay.key.public_key().public_bytes_raw()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULSE", "DJANGO"))}
    environment = {
        **kept,
        "PULSE_RELAY_ADDR": f"127.0.0.1:{relay.port}",
        "PULSE_RELAY_DATA_DIR": str(place / "data"),
        "PULSE_RELAY_PUBLIC_KEY": base64.b64encode(public).decode(),
        "PULSE_RELAY_DRAIN_TIMEOUT": "1s",
    }
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "relay", "--standalone"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: healthy(relay.port), 15, what=str(place / "log"))
        yield relay
    finally:
        process.terminate()
        process.wait(10)


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False
