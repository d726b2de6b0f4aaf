"""What the relay counts: plain integers, and their Prometheus text.

The hot path adds to attributes and knows no metrics library. Labels are outcomes and platforms,
never an instance, organisation, licence, device or address (relay-protocol section 19, F72).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

PLATFORMS = ("ios", "android", "unknown")


def platform(text: str) -> str:
    """The label for whatever an app calls its platform."""
    return text if text in ("ios", "android") else "unknown"


def _count(help: str) -> int:
    return field(default=0, metadata={"help": help})


@dataclass
class Counters:
    """One relay process. Plain ones are totals since it started."""

    frames_to_apps: int = _count("Frames carried from instances to apps.")
    frames_to_instances: int = _count("Frames carried from apps to instances.")
    bytes_to_apps: int = _count("Bytes carried from instances to apps.")
    bytes_to_instances: int = _count("Bytes carried from apps to instances.")
    dropped_frames: int = _count("Frames for channels that are closed, unknown or another's.")
    malformed_frames: int = _count("Messages after registration that were no frames.")
    push_frames: int = _count("Push notifications received; this relay delivers none.")
    slow_apps: int = _count("Apps closed because they did not read.")
    silent_peers: int = _count("Connections closed because a ping was not answered.")
    takeovers: int = _count("Connections replaced by a newer one of the same instance.")
    expired: int = _count("Connections closed because their credential ran out.")
    blocked: int = _count("Connections closed because their instance was blocked.")
    plaintext_channels: int = _count("Channels whose app sent DATA without a key exchange.")
    hint_differs: int = _count("Leases registered with a hint other than their host.")
    registrations: Counter[str] = field(default_factory=Counter)  # by outcome
    connects: Counter[tuple[str, str]] = field(default_factory=Counter)  # by platform, outcome


def exposition(counters: Counters, *, instances: int, apps: int) -> str:
    """Prometheus text format 0.0.4."""
    lines: list[str] = []
    _gauge(lines, "pulse_relay_instance_connections", "Registered live instances.", instances)
    _gauge(lines, "pulse_relay_app_sessions", "App sessions that an instance accepted.", apps)
    for each in fields(counters):
        if "help" in each.metadata:
            name = f"pulse_relay_{each.name}_total"
            _family(lines, name, each.metadata["help"], [({}, getattr(counters, each.name))])
    _family(
        lines,
        "pulse_relay_registrations_total",
        "Registrations by outcome: fresh, resumed, or the code of the refusal.",
        [({"outcome": o}, n) for o, n in sorted(counters.registrations.items())],
    )
    _family(
        lines,
        "pulse_relay_app_connects_total",
        "App connects by outcome: accepted, gone, or the code of the refusal.",
        [({"platform": p, "outcome": o}, n) for (p, o), n in sorted(counters.connects.items())],
    )
    return "\n".join(lines) + "\n"


def _gauge(lines: list[str], name: str, help: str, value: int) -> None:
    lines += [f"# HELP {name} {help}", f"# TYPE {name} gauge", f"{name} {value}"]


def _family(
    lines: list[str], name: str, help: str, rows: Iterable[tuple[Mapping[str, str], int]]
) -> None:
    lines += [f"# HELP {name} {help}", f"# TYPE {name} counter"]
    for labels, value in rows:
        text = ",".join(f'{k}="{v}"' for k, v in labels.items())
        lines.append(f"{name}{{{text}}} {value}" if text else f"{name} {value}")
