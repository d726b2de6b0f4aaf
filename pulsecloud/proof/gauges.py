"""Reads gauges from the /metrics of relay and web, as a monitoring system would."""

from __future__ import annotations

import httpx
from django.conf import settings

from pulsecloud.proof.browser import UnexpectedAnswer, dialled

INSTANCES = "pulse_relay_instance_connections"
APPS = "pulse_relay_app_sessions"


def relay_get(path: str) -> httpx.Response:
    return _get(settings.RELAY_ADDR, path)


def read() -> tuple[int, int]:
    """(live instances, live app sessions). Raises UnexpectedAnswer when a gauge is missing."""
    values = _values(relay_get("/metrics"), "the relay", (INSTANCES, APPS))
    return values[INSTANCES], values[APPS]


def of_web(name: str) -> int:
    """One gauge without labels of web. Raises UnexpectedAnswer when it is missing."""
    return _values(_get(settings.WEB_ADDR, "/metrics"), "web", (name,))[name]


def _get(address: tuple[str, int], path: str) -> httpx.Response:
    headers = (
        {"Authorization": f"Bearer {settings.METRICS_TOKEN}"} if settings.METRICS_TOKEN else {}
    )
    return httpx.get(dialled(address) + path, headers=headers, timeout=5.0)


def _values(answer: httpx.Response, whose: str, names: tuple[str, ...]) -> dict[str, int]:
    values = {}
    for line in answer.text.splitlines():
        name, _, value = line.partition(" ")
        if name in names:
            values[name] = int(float(value))
    if answer.status_code != 200 or len(values) != len(names):
        raise UnexpectedAnswer(
            f"the /metrics of {whose} answered {answer.status_code} without {' and '.join(names)}"
        )
    return values
