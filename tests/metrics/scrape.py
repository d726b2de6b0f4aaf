"""Reads an exposition as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, tuple[tuple[str, str], ...]]


def parsed(exposition: bytes) -> dict[Key, float]:
    """{(name, labels): value}. Fails on a series that stands there twice."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(exposition.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(found: dict[Key, float], name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]
