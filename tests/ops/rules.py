"""The files of ops/prometheus, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "ops" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbook.md"
OBJECTIVES = (
    "availability",
    "provisioning",
    "provisioning_speed",
    "lifecycle_speed",
    "connected",
)
# Series of Prometheus itself.
OF_PROMETHEUS = frozenset({"up", "ALERTS"})

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABELS = re.compile(r"\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
_WORDS = frozenset(
    """
    and or unless on ignoring by without group_left group_right bool offset vector Inf
    sum max min avg count rate increase delta absent clamp_min histogram_quantile avg_over_time
    max_over_time last_over_time time sort_desc topk label_replace
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Selector:
    """One series selector of an expression: a name and its matchers (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PLACE / name).read_text("utf-8"))["groups"]
    return found


def recordings() -> list[dict[str, Any]]:
    return [rule for group in groups("recording.yml") for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups("alerts.yml") for rule in group["rules"]]


def selectors(expression: str) -> Iterator[Selector]:
    """Series that an expression selects; what stands in `by (…)` and `on (…)` are labels."""
    text = re.sub(r"\b(by|on|ignoring|without)\s*\([^)]*\)", " ", expression)
    text = re.sub(r"\[[^\]]*\]", " ", text)
    position = 0
    while found := re.compile(r'"[^"]*"|' + _NAME.pattern).search(text, position):
        position = found.end()
        name = found[0]
        number = found.start() and re.match(r"[\d.]", text[found.start() - 1])
        if name.startswith('"') or name in _WORDS or number:
            continue
        labels = re.compile(r"\s*" + _LABELS.pattern).match(text, position)
        matchers: tuple[tuple[str, str, str], ...] = ()
        if labels:
            position = labels.end()
            matchers = tuple((m[1], m[2], m[3]) for m in _MATCHER.finditer(labels[1]))
        yield Selector(name, matchers)


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings have, as the usual viewers make them."""
    found = set()
    for line in page.read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"#+ (.*)", line):
            text = re.sub(r"[^\w\- ]", "", heading[1].strip().lower())
            found.add(text.replace(" ", "-"))
    return found
