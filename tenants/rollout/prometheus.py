"""What the configured Prometheus saw: whether we were watched at all, and which alerts fired.

Silence says something only when somebody listened. So three things are asked: whether the rules of
ops/prometheus are loaded, all of them, and can be evaluated, how much of the time there was a sample
that hosted mode is on, and which of our alerts (those whose name or query speaks of `pulse`) fired
meanwhile, those whose rule was taken away since among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from django.conf import settings

TIMEOUT: Final = 3.0  # seconds an answer may take; somebody waits for the page
STEP: Final = timedelta(minutes=5)
FILES: Final = ("recording.yml", "alerts.yml")
WATCHED_SHARE: Final = 0.9  # of the time; a restart of Prometheus shall not start the wait anew


class Unreachable(Exception):
    """Nobody answered, or not as Prometheus does. The text may be shown to staff."""


@dataclass(frozen=True)
class Saw:
    """`share` of the time with a sample (0 to 1), how many `rules` the product brings, and the names
    of those that are `missing`, that are `broken`, and that `fired`."""

    share: float
    rules: int
    missing: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def quiet(self) -> bool:
        listened = self.rules and not self.missing and not self.broken
        return bool(listened) and self.share >= WATCHED_SHARE and not self.fired

    @property
    def says(self) -> str:
        if self.fired:
            return f"Fired in that time: {', '.join(self.fired)}."
        if not self.rules:
            return f"{' and '.join(FILES)} of ops/prometheus are not there."
        if self.missing:
            return (
                f"Prometheus lacks {len(self.missing)} of the {self.rules} rules of ops/prometheus: "
                f"{_some(self.missing)}."
            )
        if self.broken:
            return f"Prometheus cannot evaluate {_some(self.broken)}, so silence says nothing."
        if self.share < WATCHED_SHARE:
            return f"Prometheus watched {self.share:.0%} of that time only."
        return f"Prometheus watched with all {self.rules} rules, and no alert fired."


def watch(window: timedelta) -> Saw:
    """Looks back over `window`. Raises Unreachable."""
    hours = f"{round(window.total_seconds() / 3600)}h"
    step = f"{round(STEP.total_seconds() / 60)}m"
    ours = shipped()
    with _client() as client:
        loaded = {
            str(rule.get("name")): str(rule.get("health"))
            for rule in _rules(_get(client, "/api/v1/rules"))
            if _speaks_of_us(rule)
        }
        firing = _query(client, f'count_over_time(ALERTS{{alertstate="firing"}}[{hours}])')
        samples = _query(client, f"count_over_time((max(pulse_hosted_mode) == 1)[{hours}:{step}])")
    share = max((_number(each) for each in samples), default=0.0) / (window / STEP)
    fired = {str(each.get("metric", {}).get("alertname", "")) for each in firing}
    return Saw(
        share=min(share, 1.0),
        rules=len(ours),
        missing=tuple(sorted(ours - loaded.keys())),
        fired=tuple(sorted(n for n in fired if n in loaded or _speaks_of_us({"name": n}))),
        broken=tuple(sorted(name for name, health in loaded.items() if health == "err")),
    )


def shipped() -> set[str]:
    """Names of the rules that the product brings in ops/prometheus; none when they are not there."""
    names: set[str] = set()
    for file in FILES:
        try:
            text = (Path(settings.BASE_DIR) / "ops" / "prometheus" / file).read_text("utf-8")
        except OSError:
            return set()
        names.update(re.findall(r"^\s*- (?:alert|record): (\S+)$", text, re.MULTILINE))
    return names


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


def _some(names: tuple[str, ...], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
