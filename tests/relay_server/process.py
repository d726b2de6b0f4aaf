"""A real relay process for tests: started, asked, killed, started again on the same state."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.relay_server.signing import LEASE_KEY, LICENCE_KEY
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
START = 20.0  # seconds, generous: other tests keep the cores busy

QUICK = {
    "PULSE_RELAY_FIRST_FRAME_TIMEOUT": "3s",
    "PULSE_RELAY_ECHO_TIMEOUT": "3s",
    "PULSE_RELAY_DRAIN_TIMEOUT": "2s",
    "PULSE_RELAY_EXPIRY_JITTER": "0s",
    "PULSE_RELAY_PUBLIC_KEY": LICENCE_KEY,
    "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY": LEASE_KEY,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Relay:
    """`environment` holds the settings, QUICK unless they say otherwise."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    standalone: bool = True
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def instances(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/instance"

    @property
    def apps(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/app"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the process and does not wait for anything."""
        base = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        environment = {
            **base,
            "PULSE_RELAY_ADDR": f"127.0.0.1:{self.port}",
            "PULSE_RELAY_DATA_DIR": str(self.data_dir),
            **QUICK,
            **self.environment,
        }
        command = [sys.executable, "manage.py", "relay"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command + ["--standalone"] * self.standalone,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> Relay:
        process = self.launch()
        until(lambda: process.poll() is not None or self.healthy(), START, every=0.03)
        assert process.poll() is None, f"the relay did not start:\n{self.log()[-2000:]}"
        return self

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, sig: int = signal.SIGTERM, *, seconds: float = 10.0) -> tuple[int, float]:
        """Exit status and seconds until it had exited."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(sig)
        return self.process.wait(seconds), time.monotonic() - began

    def end(self) -> None:
        """Whatever state it is in. Fails the test when the relay reported a fault of its own."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert "Traceback" not in self.log(), self.log()[-4000:]

    # --- what it says ---

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def healthy(self) -> bool:
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def metrics(self) -> dict[str, float]:
        lines = self.get("/metrics").text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def gauges(self) -> tuple[int, int]:
        """Instances and app sessions."""
        metrics = self.metrics()
        return (
            int(metrics["pulse_relay_instance_connections"]),
            int(metrics["pulse_relay_app_sessions"]),
        )

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def memory(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


NewRelay = Callable[..., Relay]
