"""What the configured Prometheus saw: whether we were watched at all, and which alerts fired.

Silence says something only when somebody listened. So three things are asked: which alert rules of
ours are loaded (those whose name or query speaks of `pulse`) and can be evaluated, how much of the
time there was a sample that hosted mode is on, and which of our alerts fired meanwhile, those whose
rule was taken away since among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
from django.conf import settings

TIMEOUT: Final = 3.0  # seconds an answer may take; somebody waits for the page
STEP: Final = timedelta(minutes=5)
WATCHED_SHARE: Final = 0.9  # of the time; a restart of Prometheus shall not start the wait anew


class Unreachable(Exception):
    """Nobody answered, or not as Prometheus does. The text may be shown to staff."""


@dataclass(frozen=True)
class Saw:
    """`share` of the time with a sample (0 to 1), names of `rules` loaded, of those
    that are `broken`, and of those that `fired`."""

    share: float
    rules: tuple[str, ...]
    fired: tuple[str, ...]
    broken: tuple[str, ...] = ()

    @property
    def quiet(self) -> bool:
        listened = bool(self.rules) and not self.broken and self.share >= WATCHED_SHARE
        return listened and not self.fired

    @property
    def says(self) -> str:
        if self.fired:
            return f"Fired in that time: {', '.join(self.fired)}."
        if not self.rules:
            return "Prometheus has none of the alert rules of ops/prometheus loaded."
        if self.broken:
            return f"Prometheus cannot evaluate {', '.join(self.broken)}, so silence says nothing."
        if self.share < WATCHED_SHARE:
            return f"Prometheus watched {self.share:.0%} of that time only."
        many = (
            "1 alert, and it did not fire"
            if len(self.rules) == 1
            else (f"{len(self.rules)} alerts, and none fired")
        )
        return f"Prometheus watched {many}."


def watch(window: timedelta) -> Saw:
    """Looks back over `window`. Raises Unreachable."""
    hours = f"{round(window.total_seconds() / 3600)}h"
    step = f"{round(STEP.total_seconds() / 60)}m"
    with _client() as client:
        rules = {
            str(rule.get("name")): str(rule.get("health"))
            for rule in _rules(_get(client, "/api/v1/rules", type="alert"))
            if _speaks_of_us(rule)
        }
        fired = _query(client, f'count_over_time(ALERTS{{alertstate="firing"}}[{hours}])')
        samples = _query(client, f"count_over_time((max(pulse_hosted_mode) == 1)[{hours}:{step}])")
    share = max((_number(each) for each in samples), default=0.0) / (window / STEP)
    names = {str(each.get("metric", {}).get("alertname", "")) for each in fired}
    ours = {name for name in names if name in rules or _speaks_of_us({"name": name})}
    broken = (name for name, health in rules.items() if health == "err")
    return Saw(min(share, 1.0), tuple(sorted(rules)), tuple(sorted(ours)), tuple(sorted(broken)))


def _client() -> httpx.Client:
    token = settings.PROMETHEUS_TOKEN
    return httpx.Client(
        base_url=settings.PROMETHEUS_URL,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=TIMEOUT,
        trust_env=False,
    )


def _get(client: httpx.Client, path: str, **parameters: str) -> Mapping[str, Any]:
    try:
        answer = client.get(path, params=parameters)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from None
    except ValueError:
        raise Unreachable(f"It answered {answer.status_code} and no JSON.") from None
    if answer.status_code != 200 or not isinstance(body, dict) or body.get("status") != "success":
        said = body.get("error", "") if isinstance(body, dict) else ""
        raise Unreachable(f"It answered {answer.status_code}. {said}"[:300].strip())
    data = body.get("data")
    if not isinstance(data, dict):
        raise Unreachable("It answered without data.")
    return data


def _query(client: httpx.Client, query: str) -> list[Mapping[str, Any]]:
    result = _get(client, "/api/v1/query", query=query).get("result")
    return [each for each in result if isinstance(each, dict)] if isinstance(result, list) else []


def _rules(data: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for group in data.get("groups") or ():
        yield from group.get("rules") or ()


def _speaks_of_us(rule: Mapping[str, Any]) -> bool:
    return "pulse" in f"{rule.get('name', '')} {rule.get('query', '')}".lower()


def _number(sample: Mapping[str, Any]) -> float:
    try:
        return float(sample["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return 0.0
