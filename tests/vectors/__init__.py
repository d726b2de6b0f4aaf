"""Published vectors of the relay protocol: values printed by the upstream implementation on fixed
test seeds. Every key in them is a test key."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load() -> dict[str, Any]:
    path = Path(__file__).with_name("relay-vectors.json")
    vectors: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return vectors


def group(name: str) -> list[Any]:
    """A group that is a list, for parametrize."""
    entries: list[Any] = load()[name]
    return entries


def named(vector: Any) -> str:
    """Test id of a vector."""
    return str(vector.get("name", vector.get("n", ""))) if isinstance(vector, dict) else ""
