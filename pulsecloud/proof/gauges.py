"""Reads the relay's two gauges from its own /metrics, as a monitoring system would."""

from __future__ import annotations

import httpx
from django.conf import settings

from pulsecloud.proof.browser import UnexpectedAnswer, dialled

INSTANCES = "pulse_relay_instance_connections"
APPS = "pulse_relay_app_sessions"


def relay_get(path: str) -> httpx.Response:
    headers = (
        {"Authorization": f"Bearer {settings.METRICS_TOKEN}"} if settings.METRICS_TOKEN else {}
    )
    return httpx.get(dialled(settings.RELAY_ADDR) + path, headers=headers, timeout=5.0)


def read() -> tuple[int, int]:
    """(live instances, live app sessions). Raises UnexpectedAnswer when a gauge is missing."""
    answer = relay_get("/metrics")
    values = {}
    for line in answer.text.splitlines():
        name, _, value = line.partition(" ")
        if name in (INSTANCES, APPS):
            values[name] = int(float(value))
    if answer.status_code != 200 or len(values) != 2:
        raise UnexpectedAnswer(f"the relay's /metrics answered {answer.status_code} without gauges")
    return values[INSTANCES], values[APPS]
