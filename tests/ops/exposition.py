"""What the processes expose, and whether a selector finds anything in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from tests.ops.rules import Selector


def series(texts: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """{series name: the label sets it has}; a family without any sample has an empty list."""
    found: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            found.setdefault(name, [])
            for sample in family.samples:
                found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def selects(selector: Selector, labels: dict[str, str]) -> bool:
    """As Prometheus matches: whole values, and a label that is not there is empty."""
    for label, operator, value in selector.matchers:
        has = labels.get(label, "")
        equal = bool(re.fullmatch(value, has)) if "~" in operator else has == value
        if equal == operator.startswith("!"):
            return False
    return True
